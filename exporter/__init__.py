"""Export trained models to ONNX or TensorRT, compare them with the original, and publish them to Triton.

Imports run one way: publishing -> repository -> parity -> graph, and publishing, hub -> sources -> graph.
"""
