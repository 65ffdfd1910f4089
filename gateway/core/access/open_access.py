"""Access without an identity: everybody is who they say, and may do everything."""

from __future__ import annotations

from gateway.core.access.credentials import Credentials
from gateway.core.access.principal import Principal

__all__ = ["OpenAccess"]


class OpenAccess:
    """An :class:`gateway.core.access.Authenticator` that asks for nothing.

    Callers are those that they name as owners, in the default tenant and with all roles: the names are for quotas among
    people who mean well.
    """

    async def authenticate(self, credentials: Credentials) -> Principal:
        """Return the caller under the owner's name that it gives."""
        return Principal(credentials.owner)
