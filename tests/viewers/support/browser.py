"""A real browser: Chromium of the system, without a screen."""

from __future__ import annotations

import contextlib
import io
import os
import re
import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image

if TYPE_CHECKING:
    from playwright.sync_api import Page

__all__ = ["look_at", "open_page", "picture", "until"]

# Where to put pictures for the documentation; empty for nowhere.
_PICTURES = os.environ.get("VIEWER_PICTURES", "")

# Without a graphics card WebGL is drawn by SwiftShader.
_FLAGS = (
    "--no-sandbox",
    "--use-gl=angle",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--ignore-gpu-blocklist",
)


@contextlib.contextmanager
def open_page(*, url: str, other: str = "", cookies: dict[str, str] | None = None) -> Iterator[tuple[Page, list[str]]]:
    """An empty page of a browser of its own, and what goes wrong in it: errors of scripts, and failed requests.

    Args:
        url: Address of the site; what lies elsewhere, such as fonts, is not loaded.
        other: Address of another site from which is loaded, too.
        cookies: Cookies that the page begins with.
    """
    sync_api = pytest.importorskip("playwright.sync_api")
    program = shutil.which("chromium")
    if not program:
        pytest.skip("chromium is not installed")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=list(_FLAGS))
        context = browser.new_context(viewport={"width": 1500, "height": 950})
        context.add_cookies([{"name": name, "value": value, "url": url} for name, value in (cookies or {}).items()])
        loaded = "|".join(map(re.escape, filter(None, (url, other, "blob:", "data:"))))
        context.route(re.compile(f"^(?!{loaded})"), lambda route: route.abort())
        page = context.new_page()
        page.set_default_timeout(240_000)
        faults: list[str] = []
        page.on("pageerror", lambda error: faults.append(f"script: {str(error)[:300]}"))
        page.on(
            "console", lambda line: faults.append(line.text[:300]) if "Content Security Policy" in line.text else None
        )
        page.on(
            "response",
            lambda answer: faults.append(f"{answer.status} {answer.url[-100:]}") if answer.status >= 400 else None,
        )
        try:
            yield page, faults
        finally:
            browser.close()


def until(page: Page, condition: str, seconds: float = 240) -> Any:
    """Wait until an expression is true in the page; returns its value."""
    for _ in range(int(seconds * 4)):
        # Not wait_for_function: it would need eval, which the page's policy forbids.
        if value := page.evaluate(f"() => {condition}"):
            return value
        page.wait_for_timeout(250)
    raise AssertionError(f"still not true: {condition}")


def look_at(page: Page, point: tuple[float, ...]) -> None:
    """Let all views of OHIF show a place.

    Args:
        page: OHIF's page.
        point: The place (x, y, z) in the patient, LPS.
    """
    page.evaluate(
        """(w) => {
            for (const view of cornerstone.getRenderingEngines().flatMap(e => e.getViewports())) {
                view.jumpToWorld(w);
                view.render();
            }
        }""",
        list(point),
    )


def picture(page: Page, name: str) -> None:
    """Keep a picture for the documentation, in few colours."""
    if _PICTURES:
        page.wait_for_timeout(1500)
        content = Image.open(io.BytesIO(page.screenshot()))
        content.convert("P", palette=Image.Palette.ADAPTIVE, colors=64).save(f"{_PICTURES}/{name}.png", optimize=True)
