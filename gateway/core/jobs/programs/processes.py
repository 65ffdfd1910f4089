"""Jobs that are a program of their own, such as the trainer: its lines are the job's, and it ends with the job."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from sixpoint.errors import FailedPrecondition, Unavailable
from sixpoint.processes import guarded, signal_of

__all__ = ["run_process"]

_GRACE_SECONDS = 10.0
_MAX_LINE_BYTES = 2**16
_LAST_LINES = 3


async def run_process(
    command: Sequence[str],
    *,
    on_line: Callable[[str], None],
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
    leave_out: Sequence[str] = (),
    grace: float = _GRACE_SECONDS,
) -> None:
    """Run a program, and hand over the lines that it writes to stdout and stderr.

    It has the worker's low priority (``nice``), and a process group of its own, which ends when this is cancelled, or
    when the worker dies.

    Args:
        command: Program and arguments; no shell reads them.
        on_line: Called with each line, without its end: calls ``progress`` or ``log`` of the job's context.
        environment: Its variables; None for those of the worker.
        folder: Folder in which it runs; None for the worker's.
        leave_out: Texts that are left out of the lines, such as the beginnings of paths.
        grace: Seconds that it may take to end before it is killed.

    Raises:
        FailedPrecondition: It ended with another exit code than 0; the message has its last lines.
        Unavailable: Something killed it: it may do better the next time.
    """
    process = await asyncio.create_subprocess_exec(
        *guarded(command, grace=grace),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env=environment,
        cwd=folder,
        limit=_MAX_LINE_BYTES,
    )
    last: list[str] = []
    try:
        assert process.stdout is not None
        while line := await _read_line(process.stdout):
            text = line.decode(errors="replace").rstrip()
            for hidden in leave_out:
                text = text.replace(hidden, "")
            if text:
                last = [*last, text][-_LAST_LINES:]
                on_line(text)
        code = await process.wait()
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            await asyncio.shield(process.wait())
    wrote = " | ".join(last) or "it wrote nothing"
    if killed_by := signal_of(code):
        raise Unavailable(
            f"the program was ended by signal {killed_by}, as the system does when memory runs out: {wrote}"[:400]
        )
    if code != 0:
        raise FailedPrecondition(f"the program ended with code {code}: {wrote}"[:400])


async def _read_line(stream: asyncio.StreamReader) -> bytes:
    """The next line; of one that is too long, pieces."""
    try:
        return await stream.readuntil(b"\n")
    except asyncio.IncompleteReadError as error:
        return error.partial
    except asyncio.LimitOverrunError as error:
        return await stream.readexactly(error.consumed)
