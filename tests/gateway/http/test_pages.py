"""The pages that people see who open an address of the gateway in a browser."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from gateway.authentication.token_editing import NewEntry, add_entry, new_token, token_digest
from gateway.authentication.token_file import EntryKind
from gateway.core.access import Role
from gateway.server import Gateway
from gateway.triton.local.server import LocalTriton
from tests.gateway.http.sites import HttpSite
from tests.support.servers import running_gateway


def test_the_first_page_lists_the_doors(http_gateway: Gateway) -> None:
    site = HttpSite.of(http_gateway, "")
    page = site.get("/")
    assert page.status_code == 200
    assert page.headers["content-type"] == "text/plain; charset=utf-8"
    lines = page.text.splitlines()
    assert "It works" in lines[0]
    for line in lines[1:]:
        address, _, title = line.strip().partition("  for ")
        address = address.strip()
        assert title
        address = address.strip()
        assert address.startswith(f"{site.url}/")
        door = site.get(address.removeprefix(site.url))
        assert (door.status_code, title in door.text) == (200, True), line
        assert f"Address: {address}\n" in door.text
        assert "Models:\n" in door.text
        assert "  annotation 5: Six-point annotation" in door.text
        assert site.get(f"{address.removeprefix(site.url)}/").text == door.text
    assert any("3D Slicer" in line for line in lines)


def test_a_page_lists_models_that_its_viewer_can_use(http_gateway: Gateway) -> None:
    site = HttpSite.of(http_gateway, "")
    for door, offered in (("monailabel", True), ("itksnap", False), ("nninteractive", False)):
        page = site.get(f"/{door}").text
        assert ("segmentation_hippocampus" in page) is offered
        assert "\\" not in page


def test_the_address_of_a_model_for_nninteractive_has_a_page(http_gateway: Gateway) -> None:
    site = HttpSite.of(http_gateway, "/nninteractive")
    for path in ("/annotation", "/annotation/"):
        page = site.get(path)
        assert (page.status_code, "annotation 5" in page.text, "it works" in page.text) == (200, True, True)
    for model, code in (("nothing", 404), ("segmentation_hippocampus", 400)):
        refused = site.get(f"/{model}/")
        assert (refused.status_code, model in refused.json()["detail"]) == (code, True)


@pytest.mark.parametrize(
    ("headers", "address"),
    [
        ({"host": "localhost"}, "http://localhost/monailabel"),
        ({"host": "[::1]:8000"}, "http://[::1]:8000/monailabel"),
        (
            {"x-forwarded-proto": "https, http", "x-forwarded-host": "gateway.example"},
            "https://gateway.example/monailabel",
        ),
        ({"x-forwarded-proto": "gopher", "x-forwarded-host": "<script>"}, "http://127.0.0.1:"),
    ],
)
def test_a_page_has_the_address_that_its_caller_sees(site: HttpSite, headers: dict[str, str], address: str) -> None:
    page = site.get("/", headers=headers).text
    assert f"Address: {address}" in page
    assert "<" not in page


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    path = tmp_path_factory.mktemp("tokens") / "tokens.toml"
    made = {"header": new_token(), "path": new_token(), "file": str(path)}
    for name, kind in (("header", EntryKind.HEADER), ("path", EntryKind.PATH)):
        add_entry(path, NewEntry(name, kind, name, "clinic-a", Role.VIEWER, None), key=token_digest(made[name]))
    return made


@pytest.fixture(scope="module")
def guarded(triton: LocalTriton, tokens: dict[str, str]) -> Iterator[HttpSite]:
    options = {"auth": "tokens", "tokens_file": tokens["file"], "path_tokens": True}
    with running_gateway(triton_url=triton.address, http_port=0, **options) as gateway:  # type: ignore[arg-type]
        yield HttpSite.of(gateway, "")


def test_models_are_for_those_who_may_use_them(guarded: HttpSite, tokens: dict[str, str]) -> None:
    stranger = guarded.get("/monailabel/")
    assert (stranger.status_code, "annotation" in stranger.text) == (200, False)
    assert "no credentials came with the call" in stranger.text
    wrong = guarded.get("/monailabel/", headers={"authorization": "Bearer x"})
    assert "credentials of the call are not valid" in wrong.text
    assert "annotation 5" in guarded.get("/monailabel/", headers={"authorization": f"Bearer {tokens['header']}"}).text
    # The address to type is the one that the caller came by, with its token; it is not to be kept anywhere.
    mine = guarded.get(f"/t/{tokens['path']}/monailabel/")
    assert f"Address: {guarded.url}/t/{tokens['path']}/monailabel\n" in mine.text
    assert "annotation 5" in mine.text
    assert mine.headers["cache-control"] == "private, no-store"
    assert guarded.get("/t/wrong/monailabel/").status_code == 401
