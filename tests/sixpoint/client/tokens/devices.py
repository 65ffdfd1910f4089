"""Logins by the device flow at the real provider, without the command line."""

from __future__ import annotations

import ssl
import time

from sixpoint.client.tokens import Login, LoginFile
from sixpoint.client.tokens.device_flow import begin_login, wait_for_login
from sixpoint.client.tokens.issuer import Issuer
from sixpoint.client.tokens.web import Web
from tests.support.oidc import OidcProvider

__all__ = ["log_in", "web"]


def web() -> Web:
    return Web(ssl.create_default_context())


def log_in(provider: OidcProvider, target: str, *, subject: str = "alice", lifetime_s: float | None = None) -> Login:
    """Log in, store the login for a gateway, and return it.

    Args:
        provider: The issuer.
        target: Address of the gateway.
        subject: Name of the person.
        lifetime_s: Seconds in which the stored login says that its token expires; None for the truth.
    """
    issuer = Issuer.discover(provider.issuer, web=web())
    code = begin_login(
        issuer, client_id=provider.client_id, scope="", resource=provider.resource, audience="", web=web()
    )
    provider.approve(code.complete_url, subject=subject)
    tokens = wait_for_login(
        issuer,
        code,
        client_id=provider.client_id,
        resource=provider.resource,
        web=web(),
        # The person was here already.
        sleep=lambda seconds: None,
    )
    now = time.time()
    login = Login(
        issuer=provider.issuer,
        client_id=provider.client_id,
        resource=provider.resource,
        scope="",
        audience="",
        access_token=tokens.access,
        refresh_token=tokens.refresh,
        issued=now,
        expires=tokens.expires if lifetime_s is None else now + lifetime_s,
    )
    LoginFile(target).save(login)
    return login
