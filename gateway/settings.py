"""The gateway's settings: environment variables with the prefix ``SIXPOINT_``, and their defaults."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from gateway.triton.local.settings import LocalTritonSettings

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

    state_folder: Path = Path("state")
    """Where images and sessions are kept, unless the next three say otherwise."""
    database_url: str = Field(default_factory=lambda known: f"sqlite:///{known['state_folder'].absolute()}/sixpoint.db")
    """Records: sqlite:////folder/file.db, or postgresql+psycopg://user:password@host/name."""
    blobs_url: str = Field(default_factory=lambda known: f"{known['state_folder'].absolute()}/blobs")
    """Voxels: a folder, s3://bucket/prefix, gs://bucket/prefix or az://container/prefix."""
    cache_folder: Path = Field(default_factory=lambda known: known["state_folder"].absolute() / "cache")
    """Images in use, and uploads under way; gateways on one machine may share it."""

    triton_url: str = "127.0.0.1:8001"
    """Triton's gRPC endpoint, host:port."""
    triton_poll_seconds: float = Field(default=1.0, gt=0)
    """How often Triton is asked which models it serves."""

    triton_shared_memory: Literal["auto", "off"] = "auto"
    """Whether tensors pass in shared memory: auto where Triton runs on this machine and offers it, or off."""

    workers: int = Field(default_factory=lambda: os.cpu_count() or 1, ge=1)
    """Threads for pre- and post-processing of prompts, and as many others for that of segmentations."""
    call_seconds: float = Field(default=60.0, gt=0)
    """Deadline of a call that brings none."""
    upload_seconds: float = Field(default=600.0, gt=0)
    """Deadline of an upload that brings none."""
    segmentation_seconds: float = Field(default=1800.0, gt=0)
    """Deadline of a segmentation that brings none."""
    max_image_bytes: int = Field(default=2 * _GIB, gt=0)
    """Largest image accepted, bytes of voxels."""
    disk_bytes: int = Field(default=64 * _GIB, gt=0)
    """All images together, bytes of voxels."""
    owner_image_bytes: int = Field(default=0, ge=0)
    """All images of one owner together; 0 for no limit."""
    cache_bytes: int = Field(default=8 * _GIB, gt=0)
    """Images in the cache folder that the blob store does not share; the least recently used ones make room."""
    image_memory_bytes: int = Field(default=_GIB, ge=0)
    """Memory for what is computed of images and used again; their voxels are mapped from files."""
    image_idle_seconds: float = Field(default=7 * 86400.0, gt=0)
    """An image unused for so long, and in no open session, is removed."""
    max_sessions: int = Field(default=10_000, gt=0)
    """Most sessions open at once."""
    owner_sessions: int = Field(default=0, ge=0)
    """Most sessions of one owner open at once; 0 for no limit."""
    session_idle_seconds: float = Field(default=86400.0, gt=0)
    """A session unused for so long closes by itself."""
    session_memory_bytes: int = Field(default=_GIB // 2, ge=0)
    """What is kept at hand of the sessions that were used last; all of it is in the database, too."""
    session_memory_seconds: float = Field(default=600.0, gt=0)
    """After so long without a prompt nothing is kept at hand of a session."""
    max_prompts: int = Field(default=256, gt=0)
    """Most prompts that are being answered or wait at once."""
    prompt_memory_bytes: int = Field(default=2 * _GIB, gt=0)
    """Memory for all prompts that are being answered at once; others wait."""
    max_segmentations: int = Field(default=8, gt=0)
    """Most segmentations that run or wait at once."""
    segmentation_memory_bytes: int = Field(default=4 * _GIB, gt=0)
    """Memory for all segmentations that run at once; others wait, and one that needs more is refused."""
    segmentation_patches: int = Field(default=4, ge=1)
    """Patches that a segmentation has with Triton at once: two or more for each instance of a model."""
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

    def with_state_in(self, folder: Path) -> Settings:
        """The same settings, with everything that is kept in one folder."""
        urls = {"database_url": f"sqlite:///{folder}/sixpoint.db", "blobs_url": f"{folder}/blobs"}
        return self.model_copy(update={"state_folder": folder, "cache_folder": folder / "cache", **urls})

    def local_triton(self, *, log: Path | None = None) -> LocalTritonSettings:
        """The part of the settings that a Triton on this machine needs."""
        return LocalTritonSettings(
            model_repository=self.triton_model_repository,
            environment=self.triton_environment,
            grpc_port=self.triton_grpc_port,
            metrics_port=self.triton_metrics_port,
            log=log,
        )
