"""Logs: JSON lines for programs, text for people, and no data of an exception in either."""

from __future__ import annotations

import io
import json
import logging
import re
import sys
from collections.abc import Iterator

import pytest

from gateway.observability.logs import LogFormat, configure


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def own_handlers() -> Iterator[None]:
    """Leaves the root logger as it was."""
    root = logging.getLogger()
    level, handlers = root.level, list(root.handlers)
    yield
    root.setLevel(level)
    root.handlers[:] = handlers


def logged(monkeypatch: pytest.MonkeyPatch, log_format: LogFormat, stream: io.StringIO) -> str:
    monkeypatch.setattr(sys, "stderr", stream)
    configure("INFO", log_format)
    log = logging.getLogger("gateway.test")
    log.info("call %s", "done", extra={"method": "Annotate", "ms": 12.5, "reason": "", "note": "two words"})
    log.warning("two\nlines")
    try:
        raise ValueError("Anna Example")
    except ValueError:
        log.exception("unexpected")
    log.debug("not this")
    return stream.getvalue()


@pytest.mark.parametrize(("log_format", "stream"), [("auto", io.StringIO), ("json", io.StringIO), ("json", Terminal)])
def test_a_program_gets_json(log_format: LogFormat, stream: type[io.StringIO], monkeypatch: pytest.MonkeyPatch) -> None:
    done, warning, unexpected = map(json.loads, logged(monkeypatch, log_format, stream()).splitlines())
    assert (done["level"], done["message"], done["method"], done["ms"]) == ("INFO", "call done", "Annotate", 12.5)
    assert warning["message"] == "two\nlines"
    assert unexpected["exception"] == "ValueError"
    assert "Anna" not in str(unexpected)


@pytest.mark.parametrize(("log_format", "stream"), [("auto", Terminal), ("text", io.StringIO), ("text", Terminal)])
def test_a_person_gets_text(log_format: LogFormat, stream: type[io.StringIO], monkeypatch: pytest.MonkeyPatch) -> None:
    text = logged(monkeypatch, log_format, stream())
    assert ("\x1b[" in text) == (stream is Terminal)
    done, warning, unexpected, *frames = re.sub(r"\x1b\[\d*m", "", text).splitlines()
    assert re.fullmatch(r'\d\d:\d\d:\d\d INFO    call done method=Annotate ms=12\.5 reason="" note="two words"', done)
    assert warning[9:] == "WARNING two lines"
    assert unexpected[9:].rstrip() == "ERROR   unexpected exception=ValueError"
    assert len(frames) == 1
    assert re.fullmatch(r"    \S+test_logs\.py:\d+ logged", frames[0])
    assert "Anna" not in text


@pytest.mark.parametrize("log_format", ["json", "text"])
def test_a_long_text_is_shortened(log_format: LogFormat, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    configure("INFO", log_format)
    logging.getLogger("gateway.test").info("found %s", "x" * 100_000, extra={"name_of_it": "y" * 100_000})
    assert 1000 < len(stream.getvalue()) < 5000
