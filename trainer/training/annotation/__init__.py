"""Training of the annotation network: pre-training on synthetic scans, fine-tuning on images with labels."""
