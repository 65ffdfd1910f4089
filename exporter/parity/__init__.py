"""Compare the forms of a model on the same inputs: PyTorch, ONNX Runtime, Triton."""
