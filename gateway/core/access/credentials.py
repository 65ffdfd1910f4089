"""What a caller presents, and the interface of what turns it into a principal."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from gateway.core.access.principal import Principal

__all__ = ["Authenticator", "Credentials"]


@dataclass(frozen=True, repr=False)
class Credentials:
    """What a caller presents. It holds secrets: it has no repr.

    Attributes:
        authorization: The header ``authorization`` as it came; empty without one.
        owner: The name in ``sixpoint-owner``; empty without one.
        peer: Address of the other end of the connection, without its port.
        certificate_names: Names in the client certificate that TLS has verified: the alternative names, then the
            common name; empty without one.
        headers: All other headers by lower-case name, for identities that a proxy states.
        path_token: Token in the path of an HTTP request; empty without one.
    """

    authorization: str = ""
    owner: str = ""
    peer: str = ""
    certificate_names: tuple[str, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    path_token: str = ""


class Authenticator(Protocol):
    """Turns credentials into a principal."""

    async def authenticate(self, credentials: Credentials) -> Principal:
        """Return who calls.

        Args:
            credentials: What the caller presents.

        Raises:
            Unauthenticated: There are no credentials, or none that are valid.
            InvalidArgument: The owner's name is not the caller's.
            ResourceExhausted: Too many calls from this peer failed to prove who they are.
        """
        ...
