"""Property tests are the same on every run, and no slow machine fails them."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

settings.register_profile(
    "sixpoint",
    derandomize=True,
    deadline=None,
    max_examples=40,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("sixpoint")
