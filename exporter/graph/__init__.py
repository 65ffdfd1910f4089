"""Turn a network into a model file: adapters, ONNX export, quantisation, TensorRT."""
