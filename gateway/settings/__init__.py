"""Settings of the gateway: environment variables with the prefix ``SIXPOINT_``, and their defaults."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from gateway.settings.identity import IdentitySettings
from gateway.settings.jobs import JobSettings
from gateway.settings.limits import LimitSettings
from gateway.settings.network import NetworkSettings
from gateway.settings.observability import ObservabilitySettings
from gateway.settings.secrets import secret_files
from gateway.settings.triton import TritonSettings
from gateway.settings.viewers import ViewerSettings
from gateway.triton.local.settings import LocalTritonSettings
from sixpoint.io.object_store import credential_files

__all__ = ["Settings"]


# The fields of the last part come first.
class Settings(
    LimitSettings,
    IdentitySettings,
    TritonSettings,
    ObservabilitySettings,
    JobSettings,
    ViewerSettings,
    NetworkSettings,
):
    """All settings of the gateway. For example, ``SIXPOINT_PORT=50052`` sets ``port``."""

    def secret_files(self) -> list[tuple[str, Path]]:
        """Return the variable and the path of each file that holds a secret of the gateway."""
        keys = [
            ("SIXPOINT_TLS_KEY_FILE", self.tls_key_file),
            ("SIXPOINT_TRITON_CLIENT_KEY_FILE", self.triton_client_key_file),
        ]
        files = [*secret_files(type(self)), *credential_files(self.blobs_url.get_secret_value())]
        return [*files, *((variable, path) for variable, path in keys if path)]

    def local_triton(self, *, log: Path | None = None, repository: Path | None = None) -> LocalTritonSettings:
        """Return the settings of a Triton on this machine, which sends its part of traces where the gateway does."""
        return replace(super().local_triton(log=log, repository=repository), traces_url=self.traces_url)
