"""Compare the forms of one model: PyTorch, ONNX Runtime, Triton."""
