"""Train networks and write their checkpoints."""
