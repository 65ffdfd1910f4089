"""Errors as the most talkative reporters show them."""

from __future__ import annotations

import traceback

from tests.support.paths import ROOT

__all__ = ["everything"]


def everything(error: BaseException) -> str:
    """An error as the most talkative reporters show it: with its causes, and the variables of all frames."""
    shown = []
    chain: list[BaseException | None] = [error]
    while chain:
        part = chain.pop()
        if part is None:
            continue
        shown += [repr(part), str(part), repr(vars(part))]
        frames = traceback.TracebackException.from_exception(part, capture_locals=True)
        # Not the frames of the test, which knows the secret.
        frames.stack = traceback.StackSummary.from_list(
            [f for f in frames.stack if not f.filename.startswith(str(ROOT / "tests"))]
        )
        shown += frames.format()
        chain += [part.__cause__, part.__context__]
    return "\n".join(shown)
