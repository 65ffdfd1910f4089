"""A real OpenID Connect provider on loopback: ``oidc-provider`` of npm, whose tokens bear tenant and roles.

It is installed once, into a cache folder outside the checkout.
"""

from __future__ import annotations

import contextlib
import functools
import http.cookiejar
import json
import os
import shutil
import subprocess
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from tests.support.ports import free_port

__all__ = ["OidcProvider", "running_oidc_provider"]

_PACKAGE = "oidc-provider@9.13.3"
_PROGRAM = Path(__file__).with_name("oidc_provider.mjs")
_SECONDS = 120

USERS = {
    "alice": {"tenant": "clinic-a", "roles": ["annotator"]},
    "bob": {"tenant": "clinic-b", "roles": ["viewer"]},
    "carol": {"tenant": "clinic-a", "roles": ["engineer", "annotator"]},
    "root": {"tenant": "clinic-a", "roles": ["admin"]},
}
"""People who can log in by the device flow, with the claims of their tokens."""


class OidcProvider:
    """The provider, as a process of its own.

    Args:
        folder: Folder for its keys and its log.
        token_seconds: Lifetime of the access tokens of the device flow.
        device_code_seconds: Time in which a person must approve a login.

    Attributes:
        issuer: Its URL. The metadata are at ``/.well-known/openid-configuration``.
        audience: Audience of its tokens.
        client_id: Its only client: public, for the device flow and refresh tokens, which it rotates.
        resource: Resource indicator of the gateway.
    """

    audience = "sixpoint"
    client_id = "sixpoint-cli"
    resource = "https://sixpoint.test"

    def __init__(self, folder: Path, *, token_seconds: int = 300, device_code_seconds: int = 600) -> None:
        self.issuer = f"http://127.0.0.1:{free_port()}"
        self._folder = folder
        self._seconds = {"tokenSeconds": token_seconds, "deviceCodeSeconds": device_code_seconds}
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it; it has the keys that it had when it was stopped, but has forgotten all logins."""
        program = self._folder / _PROGRAM.name
        shutil.copyfile(_PROGRAM, program)
        with contextlib.suppress(FileExistsError):
            # Node looks for packages beside the program.
            (self._folder / "node_modules").symlink_to(_installed() / "node_modules")
        settings = {
            "issuer": self.issuer,
            "audience": self.audience,
            "clientId": self.client_id,
            "resource": self.resource,
            "users": USERS,
            "keysFile": str(self._folder / "keys.json"),
            **self._seconds,
        }
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(["node", program, json.dumps(settings)], stdout=log, stderr=log)
        end = time.monotonic() + _SECONDS
        while True:
            with contextlib.suppress(OSError):
                # A request that is not answered while it starts must not use up all of the time.
                self._get("/.well-known/openid-configuration", timeout_s=5.0)
                return
            if self._process.poll() is not None or time.monotonic() > end:
                raise RuntimeError((self._folder / "log").read_text())
            time.sleep(0.05)

    def stop(self) -> None:
        """Stop it, as when the issuer is away."""
        if self._process:
            self._process.kill()
            self._process.wait()
        self._process = None

    def rotate_keys(self) -> None:
        """Start it anew with other keys."""
        self.stop()
        (self._folder / "keys.json").unlink()
        self.start()

    def mint(
        self,
        subject: str = "alice",
        *,
        tenant: str | None = "clinic-a",
        roles: Sequence[str] | None = ("annotator",),
        audience: str | Sequence[str] | None = None,
        lifetime_s: float = 300.0,
        algorithm: str = "RS256",
        **claims: object,
    ) -> str:
        """Return a token that the provider signed.

        Args:
            subject: Claim ``sub``.
            tenant: Claim ``tenant``; None for none.
            roles: Claim ``roles``; None for none.
            audience: Claim ``aud``; None for the provider's usual one.
            lifetime_s: Seconds until it expires; negative for a token that has expired.
            algorithm: RS256, PS256, ES256 or EdDSA.
            **claims: Further claims, or other values of those above; one that is None is left out.
        """
        now = int(time.time())
        content: dict[str, object] = {
            "iss": self.issuer,
            "sub": subject,
            "aud": audience if isinstance(audience, str) else list(audience) if audience else self.audience,
            "iat": now - max(0, -int(lifetime_s)) - 1,
            "exp": now + int(lifetime_s),
            "tenant": tenant,
            "roles": list(roles) if roles is not None else None,
        } | claims
        content = {name: value for name, value in content.items() if value is not None}
        return self._get("/test/mint", json.dumps({"algorithm": algorithm, "claims": content}).encode())

    def keys(self) -> list[dict[str, Any]]:
        """The public keys, as its JWKS has them."""
        keys: list[dict[str, Any]] = json.loads(self._get("/jwks"))["keys"]
        return keys

    def approve(self, url: str, *, subject: str = "alice") -> None:
        """Approve a login by the device flow, as a person does in a browser.

        Args:
            url: ``verification_uri_complete`` of the login.
            subject: Name of the person, one of :data:`USERS`.
        """
        self._fill_forms(url, {"login": subject, "password": "any"})

    def deny(self, url: str) -> None:
        """Refuse a login by the device flow.

        Args:
            url: ``verification_uri_complete`` of the login.
        """
        self._fill_forms(url, {"abort": "yes"})

    def _fill_forms(self, url: str, values: dict[str, str]) -> None:
        """Submit the forms of a site, one after the other, until a page has none."""
        browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar()))
        data = None
        for _ in range(10):
            with browser.open(url, data, timeout=_SECONDS) as page:
                form = _Form()
                form.feed(page.read().decode())
                url = urllib.parse.urljoin(page.url, form.action)
            if not form.action:
                return
            fields = form.fields | {name: value for name, value in values.items() if name in form.fields}
            if "xsrf" in fields and "abort" in values:
                fields["abort"] = values["abort"]
            data = urllib.parse.urlencode(fields).encode()
            if fields.get("abort"):
                # Its last page answers 400.
                with contextlib.suppress(urllib.error.HTTPError):
                    browser.open(url, data, timeout=_SECONDS).close()
                return
        raise RuntimeError(f"the forms do not end: {url}")

    def _get(self, path: str, data: bytes | None = None, *, timeout_s: float = _SECONDS) -> str:
        with urllib.request.urlopen(self.issuer + path, data, timeout=timeout_s) as response:
            text: str = response.read().decode()
            return text


class _Form(HTMLParser):
    """The form of a page: where it is sent, and its fields."""

    def __init__(self) -> None:
        super().__init__()
        self.action = ""
        self.fields: dict[str, str] = {}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.action = values["action"]
        elif tag == "input" and values.get("name"):
            self.fields[values["name"]] = values.get("value", "")


@contextlib.contextmanager
def running_oidc_provider(*, token_seconds: int = 300, device_code_seconds: int = 600) -> Iterator[OidcProvider]:
    """A provider of one's own, for tests that stop it, or that change its keys.

    Args:
        token_seconds: Lifetime of the access tokens of the device flow.
        device_code_seconds: Time in which a person must approve a login.
    """
    if not shutil.which("npm"):
        pytest.skip("npm is not installed, and the OpenID Connect provider of the tests comes from it")
    with tempfile.TemporaryDirectory(prefix="sixpoint-oidc-") as folder:
        provider = OidcProvider(Path(folder), token_seconds=token_seconds, device_code_seconds=device_code_seconds)
        try:
            provider.start()
            yield provider
        finally:
            provider.stop()


@functools.cache
def _installed() -> Path:
    """The folder with the package, which is installed if it is not there."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sixpoint-tests"
    folder = cache / _PACKAGE
    if folder.exists():
        return folder
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as scratch:
        unpacked = Path(scratch) / "package"
        unpacked.mkdir()
        command: list[str | Path] = [
            "npm",
            "install",
            "--ignore-scripts",
            "--no-audit",
            "--no-fund",
            "--prefix",
            unpacked,
            _PACKAGE,
        ]
        subprocess.run(command, check=True, capture_output=True, timeout=_SECONDS)
        # Another test process may be as far.
        with contextlib.suppress(OSError):
            unpacked.rename(folder)
    return folder
