"""What officials decide, brought to the stream: checking and publishing bundles of rules."""
