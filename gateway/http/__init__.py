"""HTTP: the doors for viewers, and liveness, readiness and metrics for operators, each on ports of their own."""
