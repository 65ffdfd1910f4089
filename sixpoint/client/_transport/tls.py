"""TLS of a client: whom it trusts, and the certificate that it shows."""

from __future__ import annotations

import os
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import grpc

from sixpoint.errors import InvalidArgument

__all__ = ["TlsFiles"]

_PREFIX = "SIXPOINT_"


@dataclass(frozen=True)
class TlsFiles:
    """Files for a connection to a gateway whose address begins with ``https://``. All are in PEM form.

    Attributes:
        ca_file: Certificates of the authorities to trust; None for those of the system.
        cert_file: Certificate to show to a gateway that asks for one; None for none.
        key_file: Private key of ``cert_file``, without a password.
        prefix: Beginning of the names of the variables that name these files, for error messages.
    """

    ca_file: str | os.PathLike[str] | None = None
    cert_file: str | os.PathLike[str] | None = None
    key_file: str | os.PathLike[str] | None = None
    prefix: str = field(default=_PREFIX, repr=False)

    @classmethod
    def from_environment(cls, prefix: str = _PREFIX) -> Self:
        """Return what SIXPOINT_CA_FILE, SIXPOINT_CLIENT_CERT_FILE and SIXPOINT_CLIENT_KEY_FILE name.

        Args:
            prefix: Beginning of the names of other variables.
        """
        ca_file, cert_file, key_file = (os.environ.get(name) or None for name in _variables(prefix))
        return cls(ca_file, cert_file, key_file, prefix)

    def context(self) -> ssl.SSLContext:
        """Return these files as Python's own TLS uses them.

        Raises:
            InvalidArgument: A file is missing, cannot be read, or is of another kind.
        """
        authority, certificate, key = _variables(self.prefix)
        if (self.cert_file is None) != (self.key_file is None):
            given, missing = (certificate, key) if self.key_file is None else (key, certificate)
            raise InvalidArgument(f"{missing} (key_file, cert_file) is missing: {given} needs it")
        try:
            context = ssl.create_default_context(cafile=self.ca_file)
        except OSError as error:
            reason = error.strerror if not isinstance(error, ssl.SSLError) else ""
            raise InvalidArgument(
                f"{self.ca_file} ({authority}, ca_file) cannot be used: {reason or 'no certificate in PEM form'}"
            ) from error
        if self.cert_file is not None:
            try:
                # An empty password: OpenSSL would ask for one on the terminal.
                context.load_cert_chain(self.cert_file, self.key_file, password="")
            except OSError as error:
                reason = error.strerror if not isinstance(error, ssl.SSLError) else ""
                raise InvalidArgument(
                    f"{self.cert_file} and {self.key_file} ({certificate}, {key}) cannot be used: "
                    f"{reason or 'no certificate with its own key, without a password, in PEM form'}"
                ) from error
        return context

    def issuer_context(self) -> ssl.SSLContext:
        """Return whom to trust as an issuer of tokens: the system's authorities, too, since it may be a public one.

        Raises:
            InvalidArgument: The file of authorities cannot be used.
        """
        context = TlsFiles(self.ca_file).context()
        context.load_default_certs()
        return context

    def credentials(self) -> grpc.ChannelCredentials:
        """Return these files as gRPC uses them.

        Raises:
            InvalidArgument: A file is missing, cannot be read, or is of another kind.
        """
        self.context()
        # gRPC brings authorities of its own, and does not look at the system's.
        authorities = self.ca_file or ssl.get_default_verify_paths().cafile
        contents = (Path(file).read_bytes() if file else None for file in (authorities, self.key_file, self.cert_file))
        credentials: grpc.ChannelCredentials = grpc.ssl_channel_credentials(*contents)
        return credentials


def _variables(prefix: str) -> tuple[str, str, str]:
    return f"{prefix}CA_FILE", f"{prefix}CLIENT_CERT_FILE", f"{prefix}CLIENT_KEY_FILE"
