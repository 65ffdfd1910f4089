"""The gateway's settings: environment variables with the prefix ``SIXPOINT_``, and their defaults."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from gateway.triton.local_settings import LocalTritonSettings

__all__ = ["Settings"]

_GIB = 2**30


class Settings(BaseSettings):
    """Everything about the gateway that can be set. ``SIXPOINT_PORT=50052`` sets ``port``."""

    model_config = SettingsConfigDict(env_prefix="SIXPOINT_", frozen=True, use_attribute_docstrings=True)

    host: str = "127.0.0.1"
    """Address to listen on; 0.0.0.0 for all."""
    port: int = Field(default=50051, ge=0, le=65535)
    """Port to listen on; 0 takes a free one."""
    reflection: bool = True
    """Whether tools such as grpcurl may ask for the service's description."""
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    """Least severity that is logged."""

    triton_url: str = "127.0.0.1:8001"
    """Triton's gRPC endpoint, host:port."""
    triton_poll_seconds: float = Field(default=1.0, gt=0)
    """How often Triton is asked which models it serves."""

    triton_shared_memory: Literal["auto", "off"] = "auto"
    """Whether tensors pass in shared memory: auto where Triton runs on this machine and offers it, or off."""

    workers: int = Field(default_factory=lambda: os.cpu_count() or 1, ge=1)
    """Threads for pre- and post-processing."""
    call_seconds: float = Field(default=60.0, gt=0)
    """Deadline of a call that brings none."""
    upload_seconds: float = Field(default=600.0, gt=0)
    """Deadline of an upload that brings none."""
    max_image_bytes: int = Field(default=2 * _GIB, gt=0)
    """Largest image accepted, bytes of voxels."""
    image_memory_bytes: int = Field(default=4 * _GIB, gt=0)
    """Memory for all images together; the least recently used one without a session makes room."""
    max_sessions: int = Field(default=1000, gt=0)
    """Most sessions open at once."""
    session_idle_seconds: float = Field(default=3600.0, gt=0)
    """A session unused for so long closes by itself."""
    drain_notice_seconds: float = Field(default=1.0, ge=0)
    """After SIGTERM: how long health says NOT_SERVING before new calls are refused."""
    drain_seconds: float = Field(default=20.0, ge=0)
    """After that: how long running calls may take to finish."""

    triton_environment: Path = Path(".triton")
    """Local Triton only: the virtual environment that it is installed in."""
    triton_grpc_port: int = Field(default=8001, ge=1, le=65535)
    """Local Triton only: its gRPC port."""
    triton_metrics_port: int = Field(default=8002, ge=1, le=65535)
    """Local Triton only: its metrics port."""
    triton_model_repository: Path = Path("model_repository")
    """Local Triton only: the models that it serves."""

    def local_triton(self, *, log: Path | None = None) -> LocalTritonSettings:
        """The part of the settings that a Triton on this machine needs."""
        return LocalTritonSettings(
            model_repository=self.triton_model_repository,
            environment=self.triton_environment,
            grpc_port=self.triton_grpc_port,
            metrics_port=self.triton_metrics_port,
            log=log,
        )
