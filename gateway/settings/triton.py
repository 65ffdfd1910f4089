"""Settings of Triton: the one that is called, and the one that runs on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, SecretStr, field_validator

from gateway.settings.storage import StorageSettings
from gateway.triton.local.settings import LocalTritonSettings
from sixpoint.client import TlsFiles
from sixpoint.environment import default_repository
from sixpoint.errors import InvalidArgument
from sixpoint.protocol.triton_addresses import TLS_PREFIX, parse_triton_addresses

__all__ = ["TritonSettings"]


class TritonSettings(StorageSettings):
    """Triton's address, key and models. A local Triton has its models in the state folder."""

    triton_url: str = "127.0.0.1:8001"
    """Triton's gRPC endpoint, host:port; several with commas; dns:///name:port for all of a name; https:// for TLS."""
    triton_ca_file: Path | None = None
    """PEM file with the authorities to trust for Triton's certificate; by default those of the system."""
    triton_client_cert_file: Path | None = None
    """PEM file with the certificate to show to Triton; read again when it changes, as the other two."""
    triton_client_key_file: Path | None = None
    """PEM file with the private key of that certificate, without a password."""
    triton_key: SecretStr = SecretStr("")
    """Key of Triton's control API (--grpc-restricted-protocol, key sixpoint-key); a local Triton's is found without."""
    triton_poll_seconds: float = Field(default=1.0, gt=0)
    """Seconds between two checks of which models Triton serves."""
    triton_shared_memory: Literal["auto", "off"] = "auto"
    """Pass tensors in shared memory: auto (if Triton runs on this machine and offers it) or off."""
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

    @field_validator("triton_url")
    @classmethod
    def _check_triton_url(cls, text: str) -> str:
        try:
            parse_triton_addresses(text)
        except InvalidArgument as error:
            raise ValueError(error.message) from error
        return text

    @property
    def triton_tls(self) -> TlsFiles:
        """Files for TLS towards Triton."""
        return TlsFiles(self.triton_ca_file, self.triton_client_cert_file, self.triton_client_key_file, TLS_PREFIX)

    def with_triton(self, address: str, *, key: str) -> Self:
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
