"""What the gateway does, free of gRPC and of Triton."""
