"""Settings of the gateway's ports and connections."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from pydantic import Field, field_validator, model_validator

from gateway.settings.part import SettingsPart
from sixpoint.protocol import is_loopback_listener

__all__ = ["NetworkSettings"]


class NetworkSettings(SettingsPart):
    """Ports, TLS, connections, and how the gateway stops."""

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
    http_port: int | None = Field(default=None, ge=0, le=65535)
    """Port for viewers that speak HTTP, without TLS: for this machine, or behind a proxy; none by default."""
    https_port: int | None = Field(default=None, ge=0, le=65535)
    """Port for viewers that speak HTTPS, with the certificate of the other port; none by default."""
    http_origins: str = ""
    """Origins of web pages that may call over HTTP (CORS), as https://viewer.example, with commas; by default none."""
    reflection: bool | None = None
    """Whether tools such as grpcurl may ask which services there are (gRPC reflection); by default on loopback only."""
    max_connections: int = Field(default=1000, gt=0)
    """Limit for open connections."""
    connection_idle_seconds: float = Field(default=900.0, gt=0)
    """Seconds after which a connection without a call is closed; clients connect again by themselves."""
    connection_age_seconds: float = Field(default=3600.0, ge=0)
    """Seconds after which a client is asked to connect anew, perhaps to another gateway; 0 for never. Calls go on."""
    connection_grace_seconds: float | None = Field(default=None, gt=0)
    """Seconds after that for which calls of the old connection may go on; by default as long as any call may take."""
    drain_notice_seconds: float = Field(default=1.0, ge=0)
    """Seconds after SIGTERM for which health is NOT_SERVING while new calls are still accepted."""
    drain_seconds: float = Field(default=20.0, ge=0)
    """Seconds after that for which running calls may finish."""

    @field_validator("host")
    @classmethod
    def _without_brackets(cls, host: str) -> str:
        return host.removeprefix("[").removesuffix("]")

    @property
    def listens_on_loopback(self) -> bool:
        """Whether only programs on this machine can reach the ports."""
        return is_loopback_listener(self.host)

    @property
    def web_origins(self) -> tuple[str, ...]:
        """Origins of web pages that may call over HTTP."""
        return tuple(origin.strip().rstrip("/") for origin in self.http_origins.split(",") if origin.strip())

    @property
    def reflects(self) -> bool:
        """Whether to answer gRPC reflection."""
        return self.listens_on_loopback if self.reflection is None else self.reflection

    @model_validator(mode="after")
    def _tls_is_whole(self) -> Self:
        if (self.tls_cert_file is None) != (self.tls_key_file is None):
            raise ValueError("SIXPOINT_TLS_CERT_FILE and SIXPOINT_TLS_KEY_FILE need each other")
        if self.tls_client_ca_file and not self.tls_cert_file:
            raise ValueError("SIXPOINT_TLS_CLIENT_CA_FILE needs SIXPOINT_TLS_CERT_FILE and SIXPOINT_TLS_KEY_FILE")
        if self.https_port is not None and not self.tls_cert_file:
            raise ValueError("SIXPOINT_HTTPS_PORT needs SIXPOINT_TLS_CERT_FILE and SIXPOINT_TLS_KEY_FILE")
        if not all(origin.startswith(("http://", "https://")) for origin in self.web_origins):
            raise ValueError("SIXPOINT_HTTP_ORIGINS has addresses such as https://viewer.example, with commas")
        return self
