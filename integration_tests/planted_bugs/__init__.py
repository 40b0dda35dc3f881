"""Ten bugs put in by hand, each in the one process it belongs to, and how each is made to bite."""
