"""``sixpoint login`` and ``sixpoint logout``: a token for a gateway from its issuer, by OpenID Connect."""

from __future__ import annotations

import os
import sys
import time
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from sixpoint.cli.common import JsonOption, ServerOption, app, print_json, print_notes
from sixpoint.client import TlsFiles
from sixpoint.client.tokens import TOKEN_FILE_VARIABLE, TOKEN_VARIABLE, Login, LoginFile, check_private
from sixpoint.client.tokens.device_flow import DeviceCode, begin_login, wait_for_login
from sixpoint.client.tokens.issuer import Issuer
from sixpoint.client.tokens.web import Web
from sixpoint.errors import InvalidArgument, SixpointError
from sixpoint.protocol import DEFAULT_SERVER, resolve_target

__all__ = ["login", "logout"]

IssuerOption = Annotated[
    str,
    typer.Option(
        envvar="SIXPOINT_OIDC_ISSUER",
        help="URL of the issuer (OpenID Connect); by default that of the last login to this gateway.",
        metavar="URL",
    ),
]
ClientIdOption = Annotated[
    str,
    typer.Option(
        envvar="SIXPOINT_OIDC_CLIENT_ID",
        help="Name of this program at the issuer: a public client with the device flow. By default as at the last "
        "login.",
        metavar="ID",
    ),
]
ScopeOption = Annotated[
    str,
    typer.Option(
        envvar="SIXPOINT_OIDC_SCOPE",
        help="Scopes to ask for, with spaces between them; by default openid and offline_access.",
        metavar="SCOPES",
    ),
]
ResourceOption = Annotated[
    str,
    typer.Option(
        envvar="SIXPOINT_OIDC_RESOURCE",
        help="Resource indicator of the gateway (RFC 8707), where the issuer wants one.",
        metavar="URL",
    ),
]
AudienceOption = Annotated[
    str,
    typer.Option(
        envvar="SIXPOINT_OIDC_AUDIENCE",
        help="Audience to ask for, where the issuer takes one in place of a resource.",
        metavar="NAME",
    ),
]


@app.command(
    epilog="Example: sixpoint login -s https://gateway.hospital.example --issuer https://sso.hospital.example "
    "--client-id sixpoint"
)
def login(
    issuer: IssuerOption = "",
    client_id: ClientIdOption = "",
    scope: ScopeOption = "",
    resource: ResourceOption = "",
    audience: AudienceOption = "",
    server: ServerOption = DEFAULT_SERVER,
    as_json: JsonOption = False,
) -> None:
    """Log in to a gateway: open a page in any browser, and compare a code.

    The token is stored for you alone, sent with the calls to this gateway, and renewed until you log out.

    A token from elsewhere needs no login: name a file that holds it with SIXPOINT_TOKEN_FILE, or put it into
    SIXPOINT_TOKEN. No option takes a token, since every user of a machine may see its command lines.
    """
    target = resolve_target(server)
    check_private(target)
    file = LoginFile(str(target))
    last = _last_login(file)
    if last:
        issuer, client_id = issuer or last.issuer, client_id or last.client_id
        if (issuer, client_id) == (last.issuer, last.client_id):
            scope, resource, audience = scope or last.scope, resource or last.resource, audience or last.audience
    if not issuer or not client_id:
        missing = "--issuer (SIXPOINT_OIDC_ISSUER)" if not issuer else "--client-id (SIXPOINT_OIDC_CLIENT_ID)"
        raise typer.BadParameter(f"{missing} is missing; whoever manages the gateway's users knows it")
    if set_variables := [name for name in (TOKEN_VARIABLE, TOKEN_FILE_VARIABLE) if os.environ.get(name)]:
        print_notes([f"{set_variables[0]} is set, and counts more than the login"])
    web = Web(TlsFiles.from_environment().issuer_context())
    found = Issuer.discover(issuer, web=web)
    code = begin_login(found, client_id=client_id, scope=scope, resource=resource, audience=audience, web=web)
    _show(code)
    tokens = wait_for_login(found, code, client_id=client_id, resource=resource, web=web)
    with file.locked():
        file.save(
            Login(
                issuer=found.url,
                client_id=client_id,
                resource=resource,
                scope=scope,
                audience=audience,
                access_token=tokens.access,
                refresh_token=tokens.refresh,
                issued=time.time(),
                expires=tokens.expires,
            )
        )
    ends = None if tokens.expires is None else datetime.fromtimestamp(tokens.expires, UTC)
    if as_json:
        print_json(
            {
                "server": str(target),
                "issuer": found.url,
                "expires": ends and ends.isoformat(timespec="seconds"),
                "renewable": bool(tokens.refresh),
            }
        )
        return
    until = f" until {ends:%Y-%m-%d %H:%M} UTC" if ends else ""
    renewal = "; it is renewed by itself" if tokens.refresh else "; then log in again, as the issuer renews nothing"
    Console(soft_wrap=True, highlight=False).print(escape(f"logged in to {target}; the token is valid{until}{renewal}"))


@app.command(epilog="Example: sixpoint logout -s https://gateway.hospital.example")
def logout(server: ServerOption = DEFAULT_SERVER, as_json: JsonOption = False) -> None:
    """Forget the login to a gateway, and let the issuer revoke it."""
    target = resolve_target(server)
    file = LoginFile(str(target))
    exists = file.version() is not None
    revoked = False
    if exists:
        with file.locked():
            last = _last_login(file)
            file.remove()
        revoked = last is not None and _revoke(last)
    if as_json:
        print_json({"server": str(target), "removed": exists, "revoked": revoked})
        return
    if not exists:
        text = f"there is no login to {target}"
    elif revoked:
        text = f"logged out of {target}"
    else:
        text = f"logged out of {target}; the issuer did not confirm it, so that a copy of the login may still be good"
    Console(soft_wrap=True, highlight=False).print(escape(text))


def _last_login(file: LoginFile) -> Login | None:
    try:
        return file.load()
    except InvalidArgument:
        # It is about to be replaced.
        return None


def _revoke(last: Login) -> bool:
    if not last.refresh_token:
        return False
    try:
        web = Web(TlsFiles.from_environment().issuer_context())
        issuer = Issuer.discover(last.issuer, web=web)
        return issuer.revoke(last.refresh_token, client_id=last.client_id, web=web)
    except SixpointError:
        return False


def _show(code: DeviceCode) -> None:
    """Print where to log in, to stderr: stdout is for the result. No browser is opened, since it may be elsewhere."""
    if code.complete_url:
        text = f"Open this page in a browser, on any machine, and check that it shows the code {code.user_code}:\n"
    else:
        text = f"Open this page in a browser, on any machine, and type the code {code.user_code}:\n"
    sys.stderr.write(f"{text}\n  {code.complete_url or code.url}\n\n")
    sys.stderr.flush()
