"""Turn a network into an ONNX file: adapters, export, float16, quantisation, external data."""
