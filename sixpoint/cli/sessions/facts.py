"""What the commands say about sessions, their steps and prompts."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from sixpoint.client import SessionInfo, StepInfo
from sixpoint.prompts import Box, Click, ExtremePoints, Lasso, Prompt, Scribble

__all__ = ["describe", "duration", "session_facts", "step_facts"]


def session_facts(info: SessionInfo) -> dict[str, Any]:
    """Return the facts about a session, for JSON."""
    return {
        "session": info.id,
        "model": info.model,
        "revision": info.revision,
        "segments": [vars(segment) for segment in info.segments],
        "created": info.created.isoformat(),
        "used": info.used.isoformat(),
        "expires": info.expires.isoformat(),
    }


def step_facts(step: StepInfo) -> dict[str, Any]:
    """Return the facts about a step, for JSON."""
    return {
        "segment": step.segment,
        "step": step.number,
        "shown": [describe(prompt) for prompt in step.prompts],
        "model": step.model,
        "model_version": step.model_version,
        "in_force": step.in_force,
    }


def describe(prompt: Prompt) -> str:
    """Describe a prompt in some words."""
    match prompt:
        case ExtremePoints(points):
            return f"{len(points)} extreme points"
        case Box():
            return "a box"
        case Scribble() | Lasso():
            kind = "scribble" if isinstance(prompt, Scribble) else "lasso"
            return f"a {'positive' if prompt.positive else 'negative'} {kind}"
        case Click(point, positive):
            return f"{'+' if positive else '-'}{','.join(f'{value:g}' for value in point)}"
        case _:
            return "a mask"


def duration(length: timedelta) -> str:
    """Format a duration with at most two units."""
    seconds = max(0, round(length.total_seconds()))
    days, hours, minutes = seconds // 86400, seconds // 3600 % 24, seconds // 60 % 60
    if days:
        return f"{days} d {hours} h"
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min" if minutes else f"{seconds} s"
