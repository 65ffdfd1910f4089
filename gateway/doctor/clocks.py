"""Compare this machine's clock with others'."""

from __future__ import annotations

import ssl
import time
import urllib.error
import urllib.request
from email.utils import parsedate_to_datetime
from pathlib import Path

from sixpoint.cli.doctor.connection import Finding

__all__ = ["http_clock_ahead", "judge_clock"]

_TOLERANCE_S = 10.0
_TIMEOUT_S = 5.0


def judge_clock(whose: str, ahead: float) -> Finding:
    """Return a finding about a clock.

    Args:
        whose: Name of its owner, such as ``database``.
        ahead: Seconds by which it is ahead of this machine's.
    """
    what = f"clock of the {whose}"
    if abs(ahead) <= _TOLERANCE_S:
        return Finding(what, True, "agrees with this machine's")
    direction = "ahead of" if ahead > 0 else "behind"
    seen = f"{abs(ahead):.0f} s {direction} this machine's"
    return Finding(what, False, seen, "Synchronise both (NTP): certificates, tokens and S3 depend on the time.")


def http_clock_ahead(url: str, *, authority: str | Path | None = None) -> float | None:
    """Return the seconds by which the clock of an HTTP server is ahead, by its Date; None if it does not tell.

    Args:
        url: Address of the server.
        authority: PEM file with authorities to trust besides the system's.
    """
    if not url.startswith(("http://", "https://")):
        return None
    before = time.time()
    try:
        context = ssl.create_default_context()
        if authority:
            context.load_verify_locations(authority)
        request = urllib.request.Request(url, method="HEAD")
        with urllib.request.urlopen(request, timeout=_TIMEOUT_S, context=context) as response:
            date = response.headers.get("Date")
    except urllib.error.HTTPError as error:
        date = error.headers.get("Date")
        error.close()
    except (OSError, ValueError):
        return None
    try:
        # It is cut to whole seconds.
        return parsedate_to_datetime(date).timestamp() + 0.5 - (before + time.time()) / 2 if date else None
    except ValueError:
        return None
