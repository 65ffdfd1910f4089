"""``sixpoint doctor --http``: check a gateway's doors for viewers from here, as the viewers reach them."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import replace
from http import HTTPStatus
from importlib.metadata import version
from urllib.parse import urljoin

from sixpoint.cli.doctor.connection import Finding, check_certificate, check_port, expects_tls
from sixpoint.cli.doctor.http_doors import DOORS, PACS, check_dicomweb, check_door, explain_refusal
from sixpoint.cli.doctor.http_exchange import Asker, NoReply, Proxy, Reply, find_proxy
from sixpoint.cli.doctor.http_url import HttpUrl, door_name, has_scheme, parse_url, without_tokens
from sixpoint.client import TlsFiles
from sixpoint.client.tokens import GivenToken, LoginToken, choose_source
from sixpoint.errors import InvalidArgument, SixpointError
from sixpoint.protocol import Target

__all__ = ["examine_http"]

_MARK = re.compile(r"sixpoint (\S+?)\. It works")
_LISTED = re.compile(r"^  (\S+)  +for ", re.MULTILINE)
_NOBODY_LISTENS = (
    "Start a gateway there (`make serve` opens port 8000; others name it with SIXPOINT_HTTP_PORT or "
    "SIXPOINT_HTTPS_PORT). If it runs, check the firewall in between, "
    "and whether it listens on 127.0.0.1 only (SIXPOINT_HOST)."
)
_OTHER_PORT = "Check the port: `make serve` opens 8000 for viewers; its gRPC port is 50051, Triton's are 8001 and 8002."


def examine_http(text: str) -> Iterator[Finding]:
    """Check one part after the other, and stop at the first problem that prevents the next checks.

    Args:
        text: Address of the gateway's port for viewers, or of one of its doors.
    """
    yield Finding("client", True, f"sixpoint {version('sixpoint')}, Python {'.'.join(map(str, sys.version_info[:3]))}")
    try:
        url = parse_url(text if has_scheme(text) else f"http://{text}")
    except InvalidArgument as error:
        yield Finding("address", False, error.message, "Correct the argument of --http.")
        return
    if not has_scheme(text):
        url = replace(url, address=replace(url.address, tls=expects_tls(str(url.address))))
        yield Finding("address", False, "it has no scheme, which most viewers need", f"Write {url}.")
    connection = check_port(url.address, advice=_NOBODY_LISTENS)
    yield connection
    if not connection.well:
        return
    if url.address.tls:
        certificate = check_certificate(url.address, protocol="http/1.1")
        yield _no_tls(url) or certificate if not certificate.well else certificate
        if not certificate.well:
            return
    token, finding = _token(url)
    if finding:
        yield finding
        if not finding.well:
            return
    yield from _check_site(Asker(token), url)


def _token(url: HttpUrl) -> tuple[str, Finding | None]:
    """The token that this environment has for the gateway; none is sent beside one in the path."""
    if url.has_token:
        if url.is_private:
            return "", Finding("token", True, "in the path")
        seen = "the token in the path travels unencrypted, where others can read it"
        return "", Finding("token", False, seen, "Use https://, and get a new token: this one may be known.")
    target = Target(str(url.address), tls=url.address.tls)
    try:
        source = choose_source(
            target, GivenToken(), has_channel=False, context=TlsFiles.from_environment().issuer_context
        )
        # A login belongs to the gateway's other port.
        token = "" if isinstance(source, LoginToken) else str(source.fetch() or "")
    except SixpointError as error:
        return "", Finding("token", False, error.message, "docs/how-to/sign-in.md says which token is sent, and how.")
    return token, Finding("token", True, "of this environment, sent in the header") if token else None


def _check_site(asker: Asker, url: HttpUrl) -> Iterator[Finding]:
    root, name, typed = _split(url)
    try:
        page = asker.get(root.at(f"{root.path}/"))
    except NoReply as error:
        yield _explain_silence(error, url)
        return
    yield from _check_proxy(asker, root, page)
    mark = _MARK.search(page.text) if page.status == HTTPStatus.OK else None
    if mark is None:
        yield _explain_stranger(asker, root, page)
        return
    yield Finding("gateway", True, f"sixpoint {mark[1]} answers at {root.at(root.path or '/')}")
    yield from _check_version(mark[1])
    if name == PACS:
        yield from check_dicomweb(asker, url, door=url)
        return
    names = list(map(door_name, _LISTED.findall(page.text)))
    if name and name not in names:
        seen = f"this gateway has no door {name}; it has: {', '.join(names) or 'none'}"
        yield Finding("address", False, seen, "Update the gateway, or use one of those.")
        return
    for each in [name] if name else names:
        door = root.at(f"{root.path}/{each}")
        try:
            page = asker.get(door.at(f"{door.path}/"))
        except NoReply as error:
            yield Finding(f"door {each}", False, error.seen, "Look at the gateway's log.")
            continue
        yield from check_door(asker, door, each, page, typed=typed if name else None)


def _split(url: HttpUrl) -> tuple[HttpUrl, str, str]:
    """The address of the page that lists the doors, the door that an address leads to, and what is behind that.

    Both are empty for all doors.
    """
    for name in DOORS:
        before, mark, behind = f"{url.path}/".partition(f"/{name}/")
        if mark:
            return url.at(before), name, behind.strip("/")
    return url, "", ""


def _no_tls(url: HttpUrl) -> Finding | None:
    plain = replace(url, address=replace(url.address, tls=False))
    try:
        Asker().get(plain.at("/"))
    except NoReply:
        return None
    return Finding("certificate", False, f"{url.address} speaks HTTP without TLS", f"Write {plain}.")


def _explain_silence(error: NoReply, url: HttpUrl) -> Finding:
    if not url.address.tls and expects_tls(str(url.address)):
        secure = replace(url, address=replace(url.address, tls=True))
        return Finding("gateway", False, "it expects TLS", f"Write {secure}.")
    if error.speaks_http2:
        return Finding("gateway", False, "it speaks HTTP/2 only, as a gateway's gRPC port does", _OTHER_PORT)
    return Finding("gateway", False, f"a server listens there, but {error.seen}", _OTHER_PORT)


def _explain_stranger(asker: Asker, root: HttpUrl, page: Reply) -> Finding:
    """Say who answers instead of a gateway's page."""
    location = page.headers.get("location", "")
    if 300 <= page.status < 400 and location:
        target = without_tokens(urljoin(f"{root}/", location))
        return Finding(
            "gateway", False, f"it sends callers on to {target}", "Viewers do not follow: write that address."
        )
    if page.status == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED:
        return Finding("gateway", False, page.describe(), "A proxy is in between, and asks for a password.")
    if page.detail and page.status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        return explain_refusal(page, "gateway", root, token=bool(asker.token))
    if page.status == HTTPStatus.BAD_REQUEST and "https" in page.text.lower():
        secure = replace(root, address=replace(root.address, tls=True))
        return Finding("gateway", False, "it expects TLS", f"Write {secure}.")
    if root.path and not root.has_token:
        try:
            if _MARK.search(asker.get(root.at("/")).text):
                seen = f"the gateway is not under {root.path}, but at {root.at('')}"
                return Finding(
                    "address", False, seen, "Leave that part of the path out, or correct the proxy's prefix."
                )
        except NoReply:
            pass
    if page.status in (HTTPStatus.BAD_GATEWAY, HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.GATEWAY_TIMEOUT):
        advice = (
            "A proxy is in between, and does not reach the gateway: check its target, and whether the gateway runs."
        )
        return Finding("gateway", False, page.describe(), advice)
    if page.status == HTTPStatus.MISDIRECTED_REQUEST or page.status == HTTPStatus.HTTP_VERSION_NOT_SUPPORTED:
        return Finding("gateway", False, page.describe(), _OTHER_PORT)
    return Finding("gateway", False, f"{page.describe()}, and is no gateway of sixpoint", _OTHER_PORT)


def _check_proxy(asker: Asker, root: HttpUrl, page: Reply) -> Iterator[Finding]:
    """Ask through the proxy that other programs use for this address, too."""
    proxy = find_proxy(root)
    if proxy is None:
        return
    seen = _difference(replace(asker, proxy=proxy), root, page, proxy)
    advice = f"Viewers may use it: add {root.address.host} to NO_PROXY, or let the proxy pass it."
    yield Finding(
        "proxy", not seen, seen or f"{proxy.variable} ({proxy}) passes the gateway's answers", advice if seen else ""
    )


def _difference(asker: Asker, root: HttpUrl, page: Reply, proxy: Proxy) -> str:
    try:
        reply = asker.get(root.at(f"{root.path}/"))
    except NoReply as error:
        return f"{proxy.variable} names {proxy}, and {error.seen}"
    if (reply.status, bool(_MARK.search(reply.text))) != (page.status, bool(_MARK.search(page.text))):
        return f"{proxy.variable} names {proxy}, and through it {reply.describe()}"
    return ""


def _check_version(theirs: str) -> Iterator[Finding]:
    ours = version("sixpoint")
    if theirs != ours:
        seen = f"the gateway is {theirs}, this client {ours}"
        yield Finding(
            "version", True, seen, "They work together within one major version; the doors are the gateway's."
        )
