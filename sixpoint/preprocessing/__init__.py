"""Turn voxels and prompts into tensors, and probabilities into masks."""
