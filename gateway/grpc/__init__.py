"""The gRPC edge: servicers, interceptor, and the conversion of messages."""
