"""Logs: JSON lines for programs, text for people, and no data of an exception in either."""

from __future__ import annotations

import asyncio
import gc
import io
import json
import logging
import re
import sys
import threading
import warnings
from collections.abc import Iterator

import pytest

from gateway.observability.logs import LogFormat, configure, log_uncaught_in_loop


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def own_handlers() -> Iterator[None]:
    """Leaves the loggers, and what Python does with warnings and exceptions, as they were."""
    root = logging.getLogger()
    loggers = [root, logging.getLogger("gateway"), logging.getLogger("sixpoint")]
    levels, handlers = [logger.level for logger in loggers], list(root.handlers)
    hooks = warnings.showwarning, sys.excepthook, threading.excepthook, sys.unraisablehook
    yield
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)
    root.handlers[:] = handlers
    warnings.showwarning, sys.excepthook, threading.excepthook, sys.unraisablehook = hooks


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


@pytest.fixture
def stream(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """What is written to stderr, with the logs of everything as JSON."""
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    configure("DEBUG", "json")
    return stream


def lines(stream: io.StringIO) -> list[dict[str, object]]:
    assert "Anna" not in stream.getvalue()
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_libraries_log_warnings_without_what_they_fill_in(stream: io.StringIO) -> None:
    log = logging.getLogger("sqlalchemy.engine.Engine")
    log.debug("row %r", ("Anna Example",))
    log.info("[%s] %r", "cached", ("Anna Example",))
    log.warning("rolled back %r\nAnna Example", "Anna Example", extra={"row": "Anna Example"})
    log.error(ValueError("Anna Example"))
    warning, error = lines(stream)
    assert (warning["level"], warning["message"], "row" in warning) == ("WARNING", "rolled back %r", False)
    assert (error["level"], error["message"]) == ("ERROR", "")


def test_a_warning_is_a_line_of_the_log_without_its_text(stream: io.StringIO) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning("Anna Example", RuntimeWarning, "module.py", 7)
    (line,) = lines(stream)
    assert (line["level"], line["kind"], line["frame"]) == ("WARNING", "RuntimeWarning", "module.py:7")


def test_exceptions_that_nobody_catches_are_lines_without_their_texts(stream: io.StringIO) -> None:
    def fail() -> None:
        raise ValueError("Anna Example")

    thread = threading.Thread(target=fail)
    thread.start()
    thread.join()
    try:
        fail()
    except ValueError as error:
        sys.excepthook(ValueError, error, error.__traceback__)

    async def leave_a_failure_behind() -> None:
        asyncio.get_running_loop().set_exception_handler(log_uncaught_in_loop)
        asyncio.get_running_loop().call_soon(fail)
        task = asyncio.create_task(asyncio.to_thread(fail))
        await asyncio.wait({task})
        del task
        gc.collect()
        await asyncio.sleep(0)

    asyncio.run(leave_a_failure_behind())
    assert len(lines(stream)) == 4
    assert {(line["message"], line["exception"]) for line in lines(stream)} == {("unexpected exception", "ValueError")}
    assert "fail" in str(lines(stream)[0]["frames"])
