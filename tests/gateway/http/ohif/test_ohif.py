"""The files of OHIF: those of the folder, its page for all else, and nothing outside."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator

import pytest

from gateway.authentication.token_editing import NewEntry, add_entry, new_token, token_digest
from gateway.authentication.token_file import EntryKind
from gateway.core.access import Role
from gateway.server import Gateway
from tests.gateway.http.sites import HttpSite
from tests.support.servers import running_gateway

SCRIPT = "window.PUBLIC_URL = '/ohif/';"
PAGE = f'<html><script>{SCRIPT}</script><script src="/ohif/app.js"></script><link href="/ohif/app.css"/></html>'
CONFIG = "window.config = { routerBasename: '/ohif/', qidoRoot: '/proxy/dicom/qido' };"
TOKEN = new_token()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    folder = tmp_path_factory.mktemp("viewer")
    (folder / "secret.txt").write_text("outside")
    ohif = folder / "ohif"
    (ohif / "assets").mkdir(parents=True)
    (ohif / "index.html").write_text(PAGE)
    (ohif / "app-config.js").write_text(CONFIG)
    (ohif / "codec.wasm").write_bytes(b"\0asm")
    (ohif / "assets" / "app.js").write_text("'/ohif/'")
    (ohif / "link.txt").symlink_to(folder / "secret.txt")
    entry = NewEntry("ada", EntryKind.PATH, "ada", "north", Role.ANNOTATOR, None)
    add_entry(folder / "tokens.toml", entry, key=token_digest(TOKEN))
    with running_gateway(
        ready=False,
        triton_url="127.0.0.1:1",
        http_port=0,
        auth="tokens",
        tokens_file=folder / "tokens.toml",
        path_tokens=True,
        ohif_folder=ohif,
    ) as gateway:
        yield gateway


@pytest.mark.parametrize(
    ("path", "kind", "content"),
    [
        ("/ohif", "text/html; charset=utf-8", PAGE),
        ("/ohif/", "text/html; charset=utf-8", PAGE),
        ("/ohif/monai-label?StudyInstanceUIDs=1.2.3", "text/html; charset=utf-8", PAGE),
        ("/ohif/assets", "text/html; charset=utf-8", PAGE),
        ("/ohif/app-config.js", "text/javascript; charset=utf-8", CONFIG),
        ("/ohif/codec.wasm", "application/wasm", "\0asm"),
        ("/ohif/assets/app.js", "text/javascript; charset=utf-8", "'/ohif/'"),
        ("/ohif/link.txt", "text/html; charset=utf-8", PAGE),
        ("/ohif/%2e%2e/secret.txt", "text/html; charset=utf-8", PAGE),
        ("/ohif/..%2fsecret.txt", "text/html; charset=utf-8", PAGE),
        ("/ohif//etc/passwd", "text/html; charset=utf-8", PAGE),
        ("/ohif/%00", "text/html; charset=utf-8", PAGE),
        ("/ohif/" + "a" * 5000, "text/html; charset=utf-8", PAGE),
        ("/ohif/" + "a" * 300, "text/html; charset=utf-8", PAGE),
    ],
)
def test_paths(served: Gateway, path: str, kind: str, content: str) -> None:
    answer = HttpSite.of(served, "").get(path)
    assert (answer.status_code, answer.headers["content-type"], answer.text) == (200, kind, content)
    policy = answer.headers["content-security-policy"]
    digest = base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()
    assert (f"'sha256-{digest}'" in policy) == (content == PAGE)


def test_a_token_in_the_address_stays_in_it(served: Gateway) -> None:
    root = f"/t/{TOKEN}"
    site = HttpSite.of(served, root)
    page = site.get("/ohif/")
    assert set(re.findall(r"""["'](/[^"'>]+)""", page.text)) == {
        f"{root}/ohif/",
        f"{root}/ohif/app.js",
        f"{root}/ohif/app.css",
    }
    script = SCRIPT.replace("/ohif/", f"{root}/ohif/")
    assert (
        base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() in page.headers["content-security-policy"]
    )
    config = site.get("/ohif/app-config.js").text
    assert config == f"window.config = {{ routerBasename: '{root}/ohif/', qidoRoot: '{root}/proxy/dicom/qido' }};"


def test_a_gateway_without_ohif_says_how_to_get_it(site: HttpSite) -> None:
    answer = HttpSite(site.url.removesuffix("/monailabel")).get("/ohif/")
    assert (answer.status_code, "SIXPOINT_OHIF_FOLDER" in answer.text) == (200, True)
