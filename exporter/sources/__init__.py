"""Read a model in whatever form it comes: checkpoint, ONNX, TorchScript, Clara or MONAI bundle."""
