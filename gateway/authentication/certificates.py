"""Clients' certificates: TLS verifies them, the file of tokens says who they are."""

from __future__ import annotations

from gateway.authentication.refusal import Refusal
from gateway.authentication.token_file import EntryKind, TokenFile
from gateway.authentication.tokens import find_principal
from gateway.core.access import Credentials, Principal

__all__ = ["CertificateMethod"]

_MAX_NAMES = 20


class CertificateMethod:
    """Entries of kind ``certificate`` in the file of tokens: the first of a certificate's names that has one counts.

    gRPC checks no lists of revoked certificates. The entries are the list of those that are admitted: without its
    entry, a certificate is refused at the next call, also on connections that exist.

    Args:
        file: The file of tokens.
    """

    def __init__(self, file: TokenFile) -> None:
        self._file = file

    async def identify(self, credentials: Credentials) -> Principal | Refusal | None:
        """Return who has the certificate; None without one."""
        result: Principal | Refusal | None = None
        for name in credentials.certificate_names[:_MAX_NAMES]:
            result = await find_principal(self._file, EntryKind.CERTIFICATE, name, method="mtls")
            if isinstance(result, Principal):
                return result
        return result
