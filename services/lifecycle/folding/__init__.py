"""Folding: from events to state. Pure: no I/O, no clock, no randomness; time is an argument."""
