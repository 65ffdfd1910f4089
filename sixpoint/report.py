"""What a person is told about an answer: a short table, or JSON for scripts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from rich.markup import escape
from rich.table import Table

from sixpoint.mask import Mask
from sixpoint.prompts import Box, Click, ExtremePoints, InitialMask, Prompt

__all__ = ["Step", "report", "report_table"]


@dataclass(frozen=True, eq=False)
class Step:
    """One call.

    Attributes:
        prompt: What was shown.
        mask: The answer.
        call: From the prompt to the mask, seen from here.
    """

    prompt: Prompt
    mask: Mask
    call: timedelta


def report(steps: Sequence[Step], *, image: str, upload: timedelta) -> dict[str, Any]:
    """The facts about an annotation.

    Args:
        steps: What began it, and each correction.
        image: What to call the image.
        upload: From opening the session to its being there, seen from here.

    Returns:
        A mapping for JSON; times in milliseconds, and all but ``answers`` those of the last answer. ``points`` is 0
        where none were given. ``reply_ms`` is what the call took beyond the server's own phases: messages, network,
        unpacking.
    """
    begun, last = steps[0].prompt, steps[-1]
    mask, call = last.mask, last.call
    timings = mask.timings
    phases = timings.total
    return {
        "image": image,
        "model": mask.model,
        "model_version": mask.model_version,
        "points": len(begun.points) if isinstance(begun, ExtremePoints) else 0,
        "clicks": sum(isinstance(step.prompt, Click) for step in steps),
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


def report_table(facts: dict[str, Any]) -> Table:
    """The facts as a table for people; ``dice`` is shown where it is known."""
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(style="bold")
    table.add_column()
    table.add_row("image", escape(str(facts["image"])))
    table.add_row("model", escape(f"{facts['model']} (version {facts['model_version']})"))
    first, *corrections = facts["answers"]
    if first["prompt"].endswith(" click"):
        corrections = facts["answers"]
    else:
        kind = {"extreme points": "points", "box": "box"}.get(first["prompt"], "mask given")
        begun = {"points": str(facts["points"]), "box": "two corners"}.get(kind, "as it was")
        table.add_row(kind, f"{begun}: {_outcome(first)}" if corrections else begun)
    for number, answer in enumerate(corrections, 1):
        table.add_row(f"click {number}", f"{answer['prompt'].removesuffix(' click')}: {_outcome(answer)}")
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
    if "session" in facts:
        table.add_row("session", escape(f"{facts['session']} (sixpoint resume {facts['session']})"))
    return table


def _outcome(answer: dict[str, Any]) -> str:
    return f"{answer['volume_ml']:.1f} ml, {answer['call_ms']:.0f} ms"


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


def _milliseconds(duration: timedelta) -> float:
    return round(max(duration.total_seconds(), 0.0) * 1000, 1)
