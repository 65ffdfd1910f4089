"""Identities that a proxy states in headers, after it has authenticated the caller itself."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.authentication.names import check_subject, known_roles
from gateway.authentication.refusal import Refusal
from gateway.core.access import DEFAULT_TENANT, Credentials, Principal, check_tenant
from sixpoint.errors import InvalidArgument

__all__ = ["ProxyHeaders", "ProxyMethod"]


@dataclass(frozen=True)
class ProxyHeaders:
    """Names of the headers, in lower case.

    Attributes:
        subject: Header with the name of the caller.
        tenant: Header with the tenant; without it, the tenant is ``default``.
        roles: Header with the roles, separated by commas.
    """

    subject: str = "x-sixpoint-subject"
    tenant: str = "x-sixpoint-tenant"
    roles: str = "x-sixpoint-roles"

    def any_in(self, credentials: Credentials) -> bool:
        """Whether a call bears one of them."""
        return any(name in credentials.headers for name in (self.subject, self.tenant, self.roles))


class ProxyMethod:
    """Headers from a peer whose certificate, which TLS has verified, has the name of a proxy.

    From anybody else they are refused, not ignored: a call that claims to be somebody is either believed or an attack.

    Args:
        names: Names in the certificates of proxies.
        headers: Names of the headers.
    """

    def __init__(self, names: frozenset[str], headers: ProxyHeaders) -> None:
        self._names = names
        self._headers = headers

    async def identify(self, credentials: Credentials) -> Principal | Refusal | None:
        """Return who the proxy says calls; None without headers."""
        if not self._headers.any_in(credentials):
            return None
        if not self._names.intersection(credentials.certificate_names):
            return Refusal("proxy", "identity headers are taken only from a proxy that the gateway knows; send none")
        headers = credentials.headers
        names = (self._headers.subject, self._headers.tenant, self._headers.roles)
        if any("\n" in headers.get(name, "") for name in names):
            # Once from the caller, and once more from a proxy that adds its own in place of replacing it.
            return Refusal("claims", "an identity header came twice; the proxy must remove those that callers send")
        try:
            subject = check_subject(headers.get(self._headers.subject, ""))
            tenant = check_tenant(headers.get(self._headers.tenant, DEFAULT_TENANT))
        except InvalidArgument as error:
            return Refusal("claims", f"the proxy's identity headers cannot be used: {error.message}")
        roles = known_roles(role.strip() for role in headers.get(self._headers.roles, "").split(","))
        return Principal(subject, tenant, roles, "proxy")
