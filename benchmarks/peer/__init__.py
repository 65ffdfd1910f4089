"""Compare sixpoint with MONAI Label: the same network, image and clicks."""
