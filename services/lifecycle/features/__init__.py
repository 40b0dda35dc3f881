"""The typed catalogue of what rules can see of an entity at the end of a civil day. Pure."""
