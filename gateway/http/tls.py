"""TLS of an HTTPS port: its certificate, read again when the files change, and the names of its clients."""

from __future__ import annotations

import logging
import ssl
from pathlib import Path
from typing import Any

from sixpoint.errors import InvalidArgument
from sixpoint.io.file_stamps import FileStamp, file_stamp

__all__ = ["HttpsContext", "certificate_names"]

_log = logging.getLogger(__name__)

_Stamp = tuple[FileStamp | None, ...]


class HttpsContext:
    """The context of an HTTPS port. A handshake after the files changed uses the new ones; bad ones change nothing.

    Args:
        certificate: PEM file with the certificate.
        key: PEM file with its private key.
        client_authority: PEM file with the authorities of clients' certificates, of which each client then needs one;
            None to ask for none.

    Attributes:
        context: Context for the listener.

    Raises:
        InvalidArgument: The files cannot be used.
    """

    def __init__(self, certificate: Path, key: Path, *, client_authority: Path | None) -> None:
        self._files = (certificate, key, *((client_authority,) if client_authority else ()))
        self._stamp = self._stat()
        self.context = self._current = self._load()
        self.context.sni_callback = self._choose

    def _choose(self, connection: ssl.SSLObject, _name: str, _context: ssl.SSLContext) -> None:
        """Give a connection that begins the newest certificate."""
        stamp = self._stat()
        if stamp != self._stamp:
            self._stamp = stamp
            try:
                self._current = self._load()
            except InvalidArgument as error:
                _log.warning("the changed TLS files are not used for HTTPS, the earlier ones stay: %s", error.message)
            else:
                _log.info("TLS certificate read again for HTTPS")
        connection.context = self._current

    def _stat(self) -> _Stamp:
        stamps: list[FileStamp | None] = []
        for file in self._files:
            try:
                stamps.append(file_stamp(file))
            except OSError:
                stamps.append(None)
        return tuple(stamps)

    def _load(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["http/1.1"])
        try:
            context.load_cert_chain(self._files[0], self._files[1], password="")
            if len(self._files) > 2:
                context.load_verify_locations(self._files[2])
                context.verify_mode = ssl.CERT_REQUIRED
        except OSError as error:
            raise InvalidArgument(
                "SIXPOINT_TLS_CERT_FILE, SIXPOINT_TLS_KEY_FILE or SIXPOINT_TLS_CLIENT_CA_FILE cannot be used for "
                "HTTPS; name a certificate and its private key in PEM files, the key without a password"
            ) from error
        return context


def certificate_names(connection: ssl.SSLObject | None) -> tuple[str, ...]:
    """Return the names in a client's certificate that TLS has verified: the alternative names, then the common name."""
    certificate: dict[str, Any] = (connection.getpeercert() if connection else None) or {}
    names = [value for _, value in certificate.get("subjectAltName", ())]
    names += [value for part in certificate.get("subject", ()) for key, value in part if key == "commonName"]
    return tuple(dict.fromkeys(names))
