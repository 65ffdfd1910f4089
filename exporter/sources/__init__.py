"""Read models from checkpoints, MONAI bundles, ONNX and TorchScript files, and Clara models."""
