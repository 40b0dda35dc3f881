"""Rules as data: rows with conditions over the feature catalogue, compiled and evaluated. Pure."""
