"""Log to stderr, as JSON lines or as text for a person, without any data of patients.

Only what the code names explicitly is logged: fixed messages, numbers, names of models, reasons of errors. The text of
an exception may quote its data, so an unexpected exception is logged with its type and code lines only. Of libraries,
warnings and errors are logged, without what they fill into their messages: a database driver would log all its rows.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
import threading
import traceback
import warnings
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Literal, TextIO

from gateway.observability.redaction import redact
from gateway.observability.tracing import current_trace
from sixpoint.errors.shortening import shorten

__all__ = ["JsonFormatter", "LogFormat", "TextFormatter", "configure", "log_uncaught_in_loop"]

_log = logging.getLogger(__name__)

LogFormat = Literal["auto", "json", "text"]
"""How records are written: as JSON, as text, or as text on a terminal and as JSON elsewhere."""

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
# Of a text in the log; whatever it repeats, a line stays readable, and the log small.
_LENGTH = 2000
# Loggers whose messages name nothing of patients.
_OURS = ("gateway", "sixpoint")
_COLOURS = {"DEBUG": "2", "WARNING": "33", "ERROR": "31", "CRITICAL": "31"}


class JsonFormatter(logging.Formatter):
    """Formats a record as one JSON object: time, level, logger, message, the id of its trace, and its extras."""

    def format(self, record: logging.LogRecord) -> str:
        """Format a record as one line."""
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": _message(record),
        }
        if trace := current_trace():
            line["trace"] = trace
        line.update(_extras(record))
        if record.exc_info and record.exc_info[0]:
            line["exception"] = record.exc_info[0].__name__
            line["frames"] = _frames(record)
        return json.dumps(line, default=str)


class TextFormatter(logging.Formatter):
    """Formats a record as one line for a person: local time, level, message, and the extras as name=value.

    Args:
        colour: Whether to colour levels other than INFO.
    """

    def __init__(self, *, colour: bool) -> None:
        super().__init__()
        self._colour = colour

    def format(self, record: logging.LogRecord) -> str:
        """Format a record as one line, and as one more per code line of an exception."""
        time = datetime.fromtimestamp(record.created).astimezone().strftime("%H:%M:%S")
        level = f"{record.levelname:<7}"
        if self._colour and record.levelname in _COLOURS:
            level = f"\x1b[{_COLOURS[record.levelname]}m{level}\x1b[0m"
        fields = [f"{key}={_text(value)}" for key, value in _extras(record).items()]
        if record.exc_info and record.exc_info[0]:
            fields.append(f"exception={record.exc_info[0].__name__}")
            fields += [f"\n    {frame}" for frame in _frames(record)]
        # A message of more than one line would look like several records.
        message = " ".join(_message(record).splitlines())
        return " ".join([f"{time} {level} {message}", *fields])


def _message(record: logging.LogRecord) -> str:
    if _is_ours(record):
        return shorten(redact(record.getMessage()), _LENGTH)
    # The message as the library's code has it, in one line: what follows may be anything.
    return shorten(redact(next(iter(record.msg.splitlines()), "")), _LENGTH) if isinstance(record.msg, str) else ""


def _is_ours(record: logging.LogRecord) -> bool:
    return record.name.partition(".")[0] in _OURS


def _extras(record: logging.LogRecord) -> dict[str, object]:
    if not _is_ours(record):
        return {}
    extras = {key: value for key, value in vars(record).items() if key not in _STANDARD}
    return {key: shorten(redact(value), _LENGTH) if isinstance(value, str) else value for key, value in extras.items()}


def _frames(record: logging.LogRecord) -> list[str]:
    frames = traceback.extract_tb(record.exc_info[2]) if record.exc_info else []
    return [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]


def _text(value: object) -> str:
    """A value as a person reads it; one with spaces or control characters, and an empty one, in quotes."""
    text = f"{value:g}" if isinstance(value, float) else str(value)
    return text if text.isprintable() and text and " " not in text else json.dumps(text)


def configure(level: str, log_format: LogFormat = "json") -> None:
    """Send all logs of this process to stderr, with warnings and exceptions that nobody catches.

    Args:
        level: Name of the lowest severity to log; of libraries, at least WARNING.
        log_format: How records are written.
    """
    terminal = sys.stderr.isatty()
    handler = logging.StreamHandler(sys.stderr)
    as_text = log_format == "text" or (log_format == "auto" and terminal)
    handler.setFormatter(TextFormatter(colour=terminal) if as_text else JsonFormatter())
    libraries = max(logging.WARNING, logging.getLevelNamesMapping()[level])
    logging.basicConfig(level=libraries, handlers=[handler], force=True)
    for name in _OURS:
        logging.getLogger(name).setLevel(level)
    # Python would write their texts, which may quote data, to stderr.
    warnings.showwarning = _log_warning
    sys.excepthook = _log_uncaught
    threading.excepthook = lambda uncaught: _log_uncaught(uncaught.exc_type, uncaught.exc_value, uncaught.exc_traceback)
    sys.unraisablehook = lambda uncaught: _log_uncaught(uncaught.exc_type, uncaught.exc_value, uncaught.exc_traceback)


def log_uncaught_in_loop(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Log an exception that nobody awaits, as the handler of an event loop: its own would quote the task."""
    _log.error("unexpected exception", exc_info=context.get("exception"))


def _log_uncaught(kind: type[BaseException], error: BaseException | None, frames: TracebackType | None) -> None:
    _log.error("unexpected exception", exc_info=(kind, error or BaseException(), frames))


def _log_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    del message, file, line
    _log.warning("warning of a library", extra={"kind": category.__name__, "frame": f"{filename}:{lineno}"})
