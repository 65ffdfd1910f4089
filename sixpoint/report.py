"""Report on an annotation: a short table for people, or JSON for scripts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from rich.markup import escape
from rich.table import Table

from sixpoint.mask import Mask
from sixpoint.prompts import Box, Click, ExtremePoints, InitialMask, Lasso, Prompt, Scribble

__all__ = ["Step", "report", "report_table"]


@dataclass(frozen=True, eq=False)
class Step:
    """A prompt and its answer, as the client measured them.

    Attributes:
        prompt: Prompt of the call.
        mask: Answer to the call.
        call: Time from sending the prompt to having the mask.
    """

    prompt: Prompt
    mask: Mask
    call: timedelta


def report(steps: Sequence[Step], *, image: str, upload: timedelta) -> dict[str, Any]:
    """Collect the facts about an annotation.

    Args:
        steps: Prompt that started the object, and each correction.
        image: Name of the image.
        upload: Time to upload the image and open the session.

    Returns:
        A mapping for JSON. Times are in milliseconds and, except in ``answers``, those of the last answer. ``points``
        is 0 where none were given. ``reply_ms`` is the time of the call outside the server's phases: messages, network,
        unpacking.
    """
    first, last = steps[0].prompt, steps[-1]
    mask, call = last.mask, last.call
    timings = mask.timings
    phases = timings.total
    return {
        "image": image,
        "model": mask.model,
        "model_version": mask.model_version,
        "points": len(first.points) if isinstance(first, ExtremePoints) else 0,
        "clicks": sum(isinstance(step.prompt, Click) for step in steps),
        "scribbles": sum(isinstance(step.prompt, Scribble) for step in steps),
        "lassos": sum(isinstance(step.prompt, Lasso) for step in steps),
        "answers": [
            {
                "prompt": _name(step.prompt),
                "volume_ml": round(step.mask.volume_ml, 2),
                "call_ms": _milliseconds(step.call),
            }
            for step in steps
        ],
        "volume_ml": round(mask.volume_ml, 2),
        "upload_ms": _milliseconds(upload),
        "preprocess_ms": _milliseconds(timings.queue + timings.preprocess),
        "inference_ms": _milliseconds(timings.inference),
        "postprocess_ms": _milliseconds(timings.postprocess + timings.encode + timings.store),
        "reply_ms": _milliseconds(call - phases),
        "reply_bytes": mask.reply_bytes,
    }


def report_table(facts: dict[str, Any], *, verbose: bool = False, again: str = "") -> Table:
    """Format the facts as a table; with ``dice``, where the truth is known.

    Args:
        facts: What :func:`report` returns, and ``session`` where it stays open.
        verbose: Whether to show times and bytes, too.
        again: Command that continues the session, where the id alone does not reach it.
    """
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(style="bold")
    table.add_column()
    table.add_row("image", escape(str(facts["image"])))
    table.add_row("model", escape(f"{facts['model']} (version {facts['model_version']})"))
    first, *corrections = facts["answers"]
    if first["prompt"] in _STARTS:
        kind, start = _STARTS[first["prompt"]]
        start = start or str(facts["points"])
        table.add_row(kind, f"{start}: {_outcome(first, verbose=verbose)}" if corrections else start)
    else:
        corrections = facts["answers"]
    numbers = Counter[str]()
    for answer in corrections:
        sign, kind = answer["prompt"].split()
        numbers[kind] += 1
        table.add_row(f"{kind} {numbers[kind]}", f"{sign}: {_outcome(answer, verbose=verbose)}")
    size = f", {facts['reply_bytes']} bytes on the wire" if verbose else ""
    table.add_row("mask", f"{facts['volume_ml']:.1f} ml{size}")
    if "dice" in facts:
        table.add_row("Dice", f"{facts['dice']:.3f} against the known truth")
    names = {
        "upload": "upload_ms",
        "preprocessing": "preprocess_ms",
        "Triton": "inference_ms",
        "postprocessing": "postprocess_ms",
        "reply": "reply_ms",
    }
    for name, key in names.items() if verbose else ():
        table.add_row(name, f"{facts[key]:.0f} ms")
    if "session" in facts:
        table.add_row("session", escape(facts["session"]))
        # In a row of its own: beside the id it would wrap in a terminal of 80 columns, and could not be copied.
        table.add_row("to continue", escape(again or f"sixpoint resume {facts['session']}"))
    return table


# Rows of the prompts that start an object: their name, and what was given; empty for the number of points.
_STARTS = {
    "extreme points": ("points", ""),
    "box": ("box", "two corners"),
    "mask": ("mask given", "as it was"),
}


def _outcome(answer: dict[str, Any], *, verbose: bool) -> str:
    return f"{answer['volume_ml']:.1f} ml" + (f", {answer['call_ms']:.0f} ms" if verbose else "")


def _name(prompt: Prompt) -> str:
    match prompt:
        case ExtremePoints():
            return "extreme points"
        case Box():
            return "box"
        case Click():
            return "positive click" if prompt.positive else "negative click"
        case InitialMask():
            return "mask"
        case Scribble():
            return "positive scribble" if prompt.positive else "negative scribble"
        case Lasso():
            return "positive lasso" if prompt.positive else "negative lasso"


def _milliseconds(duration: timedelta) -> float:
    return round(max(duration.total_seconds(), 0.0) * 1000, 1)
