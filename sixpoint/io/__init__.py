"""Read and write files: images, masks, points."""
