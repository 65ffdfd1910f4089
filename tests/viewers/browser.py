"""A real browser: Chromium of the system, without a screen."""

from __future__ import annotations

import contextlib
import re
import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Page

__all__ = ["open_page"]

# Without a graphics card WebGL is drawn by SwiftShader.
_FLAGS = (
    "--no-sandbox",
    "--use-gl=angle",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--ignore-gpu-blocklist",
)


@contextlib.contextmanager
def open_page(*, cookies: dict[str, str] | None = None, url: str) -> Iterator[tuple[Page, list[str]]]:
    """An empty page of a browser of its own, and what goes wrong in it: errors of scripts, and failed requests.

    Args:
        cookies: Cookies that the page begins with.
        url: Address of the site; what lies elsewhere, such as fonts, is not loaded.
    """
    sync_api = pytest.importorskip("playwright.sync_api")
    program = shutil.which("chromium")
    if not program:
        pytest.skip("chromium is not installed")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=list(_FLAGS))
        context = browser.new_context(viewport={"width": 1500, "height": 950})
        context.add_cookies([{"name": name, "value": value, "url": url} for name, value in (cookies or {}).items()])
        context.route(re.compile(rf"^(?!{re.escape(url)}|blob:|data:)"), lambda route: route.abort())
        page = context.new_page()
        page.set_default_timeout(60_000)
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
