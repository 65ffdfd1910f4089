"""Settings of the gateway: environment variables with the prefix ``SIXPOINT_``, and their defaults."""

from __future__ import annotations

from gateway.settings.limits import LimitSettings
from gateway.settings.network import NetworkSettings
from gateway.settings.observability import ObservabilitySettings
from gateway.settings.triton import TritonSettings

__all__ = ["Settings"]


# The fields of the last part come first.
class Settings(LimitSettings, TritonSettings, ObservabilitySettings, NetworkSettings):
    """All settings of the gateway. For example, ``SIXPOINT_PORT=50052`` sets ``port``."""
