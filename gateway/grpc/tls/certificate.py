"""TLS of the gateway's port: its certificate, read again when the files change, and whom it admits."""

from __future__ import annotations

import asyncio
import logging
import ssl
import threading
from pathlib import Path

import grpc

from gateway.grpc.tls.validity import Validity, read_validity, validity_problem
from sixpoint.errors import InvalidArgument
from sixpoint.io.file_stamps import FileStamp, file_stamp

__all__ = ["ServerCertificate"]

_log = logging.getLogger(__name__)

_DAY_S = 86_400.0

_Stamp = tuple[FileStamp, ...]


class ServerCertificate:
    """A certificate and its key in PEM files, read again at the first connection after they changed.

    Files that are half written, or do not belong together, change nothing: the last good ones stay in use, and the log
    says so. Connections that exist keep what they began with. Versions before TLS 1.2 are refused (gRPC's default).

    Args:
        certificate: File with the certificate, and those of intermediate authorities after it.
        key: File with the certificate's private key, without a password.
        client_authority: File with the authorities that sign clients' certificates; a client without one of these is
            refused. None to ask for no certificate.

    Attributes:
        validity: From when until when the certificate in use is valid; None if it is too odd to be read.

    Raises:
        InvalidArgument: A file cannot be used; the message names the setting.
    """

    def __init__(self, certificate: Path, key: Path, *, client_authority: Path | None = None) -> None:
        self._certificate = certificate
        self._key = key
        self._client_authority = client_authority
        self._lock = threading.Lock()
        self._stamp = self._stat()
        self._refused: _Stamp | None = None
        self.validity: Validity | None = None
        self._initial = self._read()

    def credentials(self) -> grpc.ServerCredentials:
        """Return credentials for a port of gRPC's server."""
        required = self._client_authority is not None
        credentials: grpc.ServerCredentials = grpc.dynamic_ssl_server_credentials(
            self._initial,
            self._changed,  # type: ignore[arg-type]  # None means unchanged
            require_client_authentication=required,
        )
        return credentials

    async def watch(self) -> None:
        """Warn in the log, now and once a day, if the certificate expires soon or is not valid; until cancelled."""
        while True:
            self._warn()
            await asyncio.sleep(_DAY_S)

    def _warn(self) -> None:
        if self.validity and (problem := validity_problem(self.validity)):
            _log.warning("the certificate of SIXPOINT_TLS_CERT_FILE: %s", problem)

    def _changed(self) -> grpc.ServerCertificateConfiguration | None:
        """Return what is in the files if they changed; gRPC calls this for each connection, on threads of its own."""
        with self._lock:
            stamp: _Stamp = ()
            try:
                stamp = self._stat()
                if stamp in (self._stamp, self._refused):
                    return None
                configuration = self._read()
            except InvalidArgument as error:
                if stamp != self._refused:
                    _log.warning("the changed TLS files are not used, the earlier ones stay: %s", error.message)
                self._refused = stamp
                return None
            # A file that changed in between gives another stamp next time.
            self._stamp = stamp
        _log.info("TLS certificate read again")
        self._warn()
        return configuration

    def _files(self) -> list[tuple[str, Path]]:
        files = [("SIXPOINT_TLS_CERT_FILE", self._certificate), ("SIXPOINT_TLS_KEY_FILE", self._key)]
        if self._client_authority:
            files.append(("SIXPOINT_TLS_CLIENT_CA_FILE", self._client_authority))
        return files

    def _stat(self) -> _Stamp:
        stamps = []
        for setting, file in self._files():
            try:
                stamps.append(file_stamp(file))
            except OSError as error:
                raise _unreadable(setting, error) from error
        return tuple(stamps)

    def _read(self) -> grpc.ServerCertificateConfiguration:
        contents = []
        for setting, file in self._files():
            try:
                contents.append(file.read_bytes())
            except OSError as error:
                raise _unreadable(setting, error) from error
        self._check()
        self.validity = read_validity(contents[0])
        authorities = contents[2] if self._client_authority else None
        return grpc.ssl_server_certificate_configuration([(contents[1], contents[0])], root_certificates=authorities)

    def _check(self) -> None:
        """Check the files with OpenSSL: gRPC would only refuse every connection."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        try:
            # An empty password: OpenSSL would ask for one on the terminal.
            context.load_cert_chain(self._certificate, self._key, password="")
        except OSError as error:
            reason = (
                "they do not belong together" if "MISMATCH" in str(error).upper() else "no certificate with its key"
            )
            raise InvalidArgument(
                f"SIXPOINT_TLS_CERT_FILE and SIXPOINT_TLS_KEY_FILE cannot be used: {reason}; name a certificate and "
                "its private key in PEM files, the key without a password"
            ) from error
        if self._client_authority:
            try:
                context.load_verify_locations(self._client_authority)
            except OSError as error:
                raise InvalidArgument(
                    "SIXPOINT_TLS_CLIENT_CA_FILE cannot be used: it has no certificate in PEM form"
                ) from error


def _unreadable(setting: str, error: OSError) -> InvalidArgument:
    return InvalidArgument(f"{setting}: the file cannot be read ({error.strerror or 'unknown reason'})")
