"""Observability: what operators see of a running gateway."""
