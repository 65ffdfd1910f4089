"""HTTP: liveness, readiness and metrics, on a port of their own."""
