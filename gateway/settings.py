"""Settings of the gateway: environment variables with the prefix ``SIXPOINT_``, and their defaults."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from gateway.observability.logs import LogFormat
from gateway.triton.local.settings import LocalTritonSettings
from sixpoint.environment import default_repository
from sixpoint.errors import InvalidArgument
from sixpoint.protocol.triton_addresses import parse_triton_addresses

__all__ = ["Settings"]

_GIB = 2**30


def _of_one_owner(limit: str, *, left: int = 8) -> Callable[[dict[str, int]], int]:
    """Return the default limit for one owner: the limit for all, but a part that is left to others, 1 / ``left``."""
    return lambda values: values[limit] - values[limit] // left


class Settings(BaseSettings):
    """All settings of the gateway. For example, ``SIXPOINT_PORT=50052`` sets ``port``."""

    model_config = SettingsConfigDict(
        env_prefix="SIXPOINT_",
        # Files for containers set variables to nothing to leave them out; the empty path would be the working folder.
        env_ignore_empty=True,
        frozen=True,
        use_attribute_docstrings=True,
    )

    host: str = "127.0.0.1"
    """Address to listen on; 0.0.0.0 for all interfaces, :: for those of IPv6, too."""
    port: int = Field(default=50051, ge=0, le=65535)
    """Port to listen on; 0 takes a free one."""
    tls_cert_file: Path | None = None
    """PEM file with the certificate of the port, for TLS; read again when it changes."""
    tls_key_file: Path | None = None
    """PEM file with the private key of the certificate, without a password."""
    tls_client_ca_file: Path | None = None
    """PEM file with the authorities of clients' certificates; a client without such a certificate is then refused."""
    health_port: int | None = Field(default=None, ge=0, le=65535)
    """Port for gRPC's health service without TLS, for probes; none by default."""
    status_port: int | None = Field(default=None, ge=0, le=65535)
    """HTTP port for /livez, /readyz and /metrics (Prometheus), without TLS; none by default."""
    reflection: bool = True
    """Whether tools such as grpcurl may ask which services and messages there are (gRPC reflection)."""
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    """Lowest severity that is logged."""
    log_format: LogFormat = "auto"
    """How the log is written to stderr: json (an object per line), text, or auto (text on a terminal, else json)."""

    state_folder: Path = Path("state")
    """Folder for images and sessions, unless the next three settings say otherwise."""
    database_url: str = Field(
        default_factory=lambda values: f"sqlite:///{values['state_folder'].absolute()}/sixpoint.db"
    )
    """Database for records: sqlite:////folder/file.db, or postgresql+psycopg://user:password@host/name."""
    blobs_url: str = Field(default_factory=lambda values: f"{values['state_folder'].absolute()}/blobs")
    """Store for voxels: a folder, s3://bucket/prefix, gs://bucket/prefix or az://container/prefix."""
    cache_folder: Path = Field(default_factory=lambda values: values["state_folder"].absolute() / "cache")
    """Folder for images in use and uploads in progress; gateways on one machine may share it."""

    storage_poll_seconds: float = Field(default=5.0, gt=0)
    """Seconds between two checks of whether database and blob store can be reached; if not, health is NOT_SERVING."""

    triton_url: str = "127.0.0.1:8001"
    """Triton's gRPC endpoint, host:port; several with commas; dns:///name:port for all addresses of a name."""
    triton_key: SecretStr = SecretStr("")
    """Key of Triton's control API (--grpc-restricted-protocol, key sixpoint-key); a local Triton's is found without."""
    triton_poll_seconds: float = Field(default=1.0, gt=0)
    """Seconds between two checks of which models Triton serves."""

    triton_shared_memory: Literal["auto", "off"] = "auto"
    """Pass tensors in shared memory: auto (if Triton runs on this machine and offers it) or off."""

    workers: int = Field(default_factory=lambda: os.cpu_count() or 1, ge=1)
    """Threads for preprocessing and postprocessing prompts, and as many again for segmentations."""
    call_seconds: float = Field(default=60.0, gt=0)
    """Default deadline of a call, in seconds."""
    max_call_seconds: float = Field(default=600.0, gt=0)
    """Latest deadline that a client may set for a call, in seconds."""
    upload_seconds: float = Field(default=600.0, gt=0)
    """Default deadline of an upload, in seconds."""
    max_upload_seconds: float = Field(default=6 * 3600.0, gt=0)
    """Latest deadline that a client may set for an upload, in seconds."""
    upload_idle_seconds: float = Field(default=60.0, gt=0)
    """Seconds within which an upload must send its next 64 KiB; it can be continued. A sixth, if others wait."""
    upload_memory_bytes: int = Field(default=768 * 2**20, gt=0)
    """Bytes of memory for all uploads, 12 MiB for each; further uploads wait."""
    segmentation_seconds: float = Field(default=1800.0, gt=0)
    """Default deadline of a segmentation, in seconds."""
    max_segmentation_seconds: float = Field(default=6 * 3600.0, gt=0)
    """Latest deadline that a client may set for a segmentation, in seconds."""
    stream_idle_seconds: float = Field(default=3600.0, gt=0)
    """Seconds after which a viewer's stream without an action is closed."""
    max_stream_seconds: float = Field(default=86400.0, gt=0)
    """Seconds after which a viewer's stream is closed."""
    max_connections: int = Field(default=1000, gt=0)
    """Limit for open connections."""
    connection_idle_seconds: float = Field(default=900.0, gt=0)
    """Seconds after which a connection without a call is closed; clients connect again by themselves."""
    max_image_bytes: int = Field(default=2 * _GIB, gt=0)
    """Largest image accepted, in bytes of voxels."""
    disk_bytes: int = Field(default=64 * _GIB, gt=0)
    """Limit for all images together, in bytes of voxels."""
    owner_image_bytes: int = Field(default=0, ge=0)
    """Limit for all images of one owner together, in bytes of voxels; 0 for no limit."""
    cache_bytes: int = Field(default=8 * _GIB, gt=0)
    """Bytes of cached images that the blob store does not share; the least recently used are removed first."""
    image_memory_bytes: int = Field(default=_GIB, ge=0)
    """Bytes of memory for results computed from images and used again; voxels are mapped from files."""
    image_idle_seconds: float = Field(default=7 * 86400.0, gt=0)
    """Seconds after which an unused image that is in no open session is removed."""
    unfinished_upload_bytes: int = Field(default=8 * _GIB, ge=0)
    """Bytes of all uploads that ended early and can be continued; the oldest are removed first."""
    owner_unfinished_upload_bytes: int = Field(default=4 * _GIB, ge=0)
    """Bytes of the uploads of one owner that ended early and can be continued."""
    unfinished_upload_seconds: float = Field(default=86400.0, gt=0)
    """Seconds after which an upload that ended early is removed."""
    max_sessions: int = Field(default=10_000, gt=0)
    """Limit for open sessions."""
    owner_sessions: int = Field(default_factory=_of_one_owner("max_sessions", left=4), ge=0)
    """Limit for open sessions of one owner; 0 for none of its own. By default a quarter is left to others."""
    session_steps: int = Field(default=10_000, gt=0)
    """Limit for steps of one session."""
    session_log_bytes: int = Field(default=2 * _GIB, gt=0)
    """Limit for the steps of one session, in bytes of the database; a click takes about 60 KiB."""
    owner_log_bytes: int = Field(default=16 * _GIB, ge=0)
    """Limit for the steps of all sessions of one owner, in bytes of the database; 0 for no limit."""
    log_bytes: int = Field(default=64 * _GIB, gt=0)
    """Limit for the steps of all sessions, in bytes of the database."""
    session_idle_seconds: float = Field(default=86400.0, gt=0)
    """Seconds after which an unused session is closed."""
    session_memory_bytes: int = Field(default=_GIB // 2, ge=0)
    """Bytes of memory for the recently used sessions; everything is also in the database."""
    session_memory_seconds: float = Field(default=600.0, gt=0)
    """Seconds without a prompt after which a session is dropped from memory; at most 15 for one above 8 MiB."""
    max_prompts: int = Field(default=256, gt=0)
    """Limit for prompts that are being answered or wait."""
    owner_prompts: int = Field(default_factory=_of_one_owner("max_prompts"), gt=0)
    """Limit for prompts of one owner that are being answered or wait. By default an eighth is left to others."""
    prompt_memory_bytes: int = Field(default=2 * _GIB, gt=0)
    """Bytes of memory for all prompts that are being answered; further prompts wait."""
    stream_memory_bytes: int = Field(default=_GIB // 2, gt=0)
    """Bytes of memory for actions and answers that wait in the streams of all viewers; half of it for one owner."""
    max_segmentations: int = Field(default=8, gt=0)
    """Limit for segmentations that run or wait."""
    owner_segmentations: int = Field(default_factory=_of_one_owner("max_segmentations"), gt=0)
    """Limit for segmentations of one owner that run or wait. By default an eighth is left to others."""
    segmentation_memory_bytes: int = Field(default=4 * _GIB, gt=0)
    """Bytes of memory for all running segmentations; further ones wait, and one that needs more is refused."""
    segmentation_patches: int = Field(default=4, ge=1)
    """Patches that one segmentation sends to Triton at once; best two or more per model instance."""
    max_uploads: int = Field(default=256, gt=0)
    """Limit for uploads that run or wait."""
    owner_uploads: int = Field(default_factory=_of_one_owner("max_uploads"), gt=0)
    """Limit for uploads of one owner at once. By default an eighth is left to others."""
    max_streams: int = Field(default=1024, gt=0)
    """Limit for open streams of viewers."""
    owner_streams: int = Field(default_factory=_of_one_owner("max_streams", left=4), gt=0)
    """Limit for open streams of one owner. By default a quarter is left to others."""
    drain_notice_seconds: float = Field(default=1.0, ge=0)
    """Seconds after SIGTERM for which health is NOT_SERVING while new calls are still accepted."""
    drain_seconds: float = Field(default=20.0, ge=0)
    """Seconds after that for which running calls may finish."""

    triton_environment: Path = Path(".triton")
    """Local Triton only: virtual environment in which it is installed."""
    triton_grpc_port: int = Field(default=8001, ge=1, le=65535)
    """Local Triton only: gRPC port."""
    triton_metrics_port: int = Field(default=8002, ge=1, le=65535)
    """Local Triton only: port of the Prometheus metrics."""
    triton_model_repository: Path = Field(
        default_factory=lambda values: default_repository(values["state_folder"].absolute())
    )
    """Local Triton only: folder with the models to serve. By default a copy of the shipped models, to publish to."""

    @field_validator("host")
    @classmethod
    def _without_brackets(cls, host: str) -> str:
        return host.removeprefix("[").removesuffix("]")

    @field_validator("triton_url")
    @classmethod
    def _check_triton_url(cls, text: str) -> str:
        try:
            parse_triton_addresses(text)
        except InvalidArgument as error:
            raise ValueError(error.message) from error
        return text

    @model_validator(mode="after")
    def _tls_is_whole(self) -> Self:
        if (self.tls_cert_file is None) != (self.tls_key_file is None):
            raise ValueError("SIXPOINT_TLS_CERT_FILE and SIXPOINT_TLS_KEY_FILE need each other")
        if self.tls_client_ca_file and not self.tls_cert_file:
            raise ValueError("SIXPOINT_TLS_CLIENT_CA_FILE needs SIXPOINT_TLS_CERT_FILE and SIXPOINT_TLS_KEY_FILE")
        return self

    def with_state_in(self, folder: Path) -> Settings:
        """Return a copy of the settings that keeps all state in one folder."""
        urls = {"database_url": f"sqlite:///{folder}/sixpoint.db", "blobs_url": f"{folder}/blobs"}
        return self.model_copy(update={"state_folder": folder, "cache_folder": folder / "cache", **urls})

    def with_triton(self, address: str, *, key: str) -> Settings:
        """Return a copy of the settings that uses a Triton at an address, with the key of its control API."""
        return self.model_copy(update={"triton_url": address, "triton_key": SecretStr(key)})

    @property
    def serves_copy(self) -> bool:
        """Whether a local Triton serves a copy of the shipped models, as no other folder is set."""
        return "triton_model_repository" not in self.model_fields_set

    def local_triton(self, *, log: Path | None = None, repository: Path | None = None) -> LocalTritonSettings:
        """Return the settings of a Triton on this machine.

        Args:
            log: File for Triton's log; None to use the log only to explain failures.
            repository: Folder with the models to serve; None for the one that is set.
        """
        return LocalTritonSettings(
            model_repository=repository or self.triton_model_repository,
            environment=self.triton_environment,
            grpc_port=self.triton_grpc_port,
            metrics_port=self.triton_metrics_port,
            log=log,
        )
