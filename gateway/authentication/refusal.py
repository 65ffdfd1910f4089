"""What one method of authentication answers, and why credentials are refused."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

from gateway.core.access import Credentials, Principal

__all__ = ["AuthenticationMethod", "Refusal", "RefusalKind"]

RefusalKind = Literal[
    "missing",
    "malformed",
    "several",
    "unknown",
    "expired",
    "immature",
    "audience",
    "claims",
    "signature",
    "key",
    "proxy",
]
"""Why credentials are refused, for the log and the metric: few values, none of which an attacker can choose.

- missing: none came; malformed: they cannot be read; several: of more than one kind.
- unknown: in no file of tokens, or revoked; expired, immature: no longer or not yet valid.
- signature: not by the issuer, or altered; key: by a key that the issuer does not publish; audience: for another
  service; claims: signed by the issuer, but no access token that names a user and a tenant.
- proxy: identity headers from somebody who is no proxy.
"""


@dataclass(frozen=True)
class Refusal:
    """Credentials that one method refuses.

    Attributes:
        kind: Kind of the fault, as the metric counts it.
        explanation: What is wrong and what to do, for the caller. Empty for the sentence that all refusals share: who
            guesses tokens must not learn whether one was ever valid.
    """

    kind: RefusalKind
    explanation: str = ""


class AuthenticationMethod(Protocol):
    """One way to prove who one is."""

    async def identify(self, credentials: Credentials) -> Principal | Refusal | None:
        """Return who calls, why not, or None if the credentials are not of this kind.

        Raises:
            Unavailable: It cannot be told at the moment, since something that this method needs is away.
        """
        ...
