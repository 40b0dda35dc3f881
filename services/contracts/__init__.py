"""What the services agree on, written by hand over the generated contracts."""
