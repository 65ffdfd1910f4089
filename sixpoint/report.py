"""What a person is told about an answer: a short table, or JSON for scripts."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from rich.markup import escape
from rich.table import Table

from sixpoint.mask import Mask

__all__ = ["report", "report_table"]


def report(mask: Mask, *, image: str, points: int, upload: timedelta, call: timedelta) -> dict[str, Any]:
    """The facts about one answer.

    Args:
        mask: The answer.
        image: What to call the image.
        points: How many points were given.
        upload: From opening the session to its being there, seen from here.
        call: From the prompt to the mask, seen from here.

    Returns:
        A flat mapping; times in milliseconds. ``reply_ms`` is what the call took beyond the server's own phases:
        messages, network, unpacking.
    """
    timings = mask.timings
    phases = timings.queue + timings.preprocess + timings.inference + timings.postprocess + timings.encode
    return {
        "image": image,
        "model": mask.model,
        "model_version": mask.model_version,
        "points": points,
        "volume_ml": round(mask.volume_ml, 2),
        "upload_ms": _milliseconds(upload),
        "preprocess_ms": _milliseconds(timings.queue + timings.preprocess),
        "inference_ms": _milliseconds(timings.inference),
        "postprocess_ms": _milliseconds(timings.postprocess + timings.encode),
        "reply_ms": _milliseconds(call - phases),
        "reply_bytes": mask.reply_bytes,
    }


def report_table(facts: dict[str, Any]) -> Table:
    """The facts as a table for people; ``dice`` is shown where it is known."""
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(style="bold")
    table.add_column()
    table.add_row("image", escape(str(facts["image"])))
    table.add_row("model", escape(f"{facts['model']} (version {facts['model_version']})"))
    table.add_row("points", str(facts["points"]))
    table.add_row("mask", f"{facts['volume_ml']:.1f} ml, {facts['reply_bytes']} bytes on the wire")
    if "dice" in facts:
        table.add_row("Dice", f"{facts['dice']:.3f} against the known truth")
    names = {
        "upload": "upload_ms",
        "preprocessing": "preprocess_ms",
        "Triton": "inference_ms",
        "postprocessing": "postprocess_ms",
        "reply": "reply_ms",
    }
    for name, key in names.items():
        table.add_row(name, f"{facts[key]:.0f} ms")
    return table


def _milliseconds(duration: timedelta) -> float:
    return round(max(duration.total_seconds(), 0.0) * 1000, 1)
