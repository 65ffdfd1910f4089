"""Train networks and write checkpoints."""
