"""Output of the commands: progress and results go to stderr, so that stdout carries data only."""

from __future__ import annotations

import contextlib
import math
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from sixpoint.io.atomic_files import is_temporary
from sixpoint.io.output_files import check_not_inputs
from sixpoint.model_spec import LICENCE_NOTE
from trainer.data.spec_files import read_spec
from trainer.training.checkpoint import CHECKPOINT, SPEC
from trainer.training.config import PretrainProgress

__all__ = [
    "check_run_folder",
    "describe_os_error",
    "describe_pretraining",
    "err",
    "progress_bar",
    "say",
    "say_licence",
]

err = Console(stderr=True)
_LOG_INTERVAL_S = 30.0
_RUN_FILES = (CHECKPOINT, SPEC, "last.pt", "metrics.json", "curves.png", "split.json", "fingerprint.json")


def check_run_folder(out: Path, *inputs: Path | None) -> None:
    """Refuse a run that would overwrite what it reads, such as the checkpoint that it starts from.

    Args:
        out: Folder of the run.
        inputs: Files and folders that the run reads; None for those that are not given.

    Raises:
        InvalidArgument: A file of the run is an input.
    """
    check_not_inputs((out / name for name in _RUN_FILES), inputs)


def say(text: str) -> None:
    """Print one line, as it is: the name of a file or case may have brackets."""
    err.print(text, highlight=False, markup=False, soft_wrap=True)


def say_licence(checkpoint: Path) -> None:
    """Print the licence of a published checkpoint, and where it is unknown, why and how to state it."""
    spec = read_spec(checkpoint.with_name(SPEC))
    say(f"licence: {spec.licence}")
    if spec.licence == "unknown" and (note := spec.provenance.get(LICENCE_NOTE)):
        say(note)


def describe_os_error(error: OSError) -> str:
    """Describe an error of the operating system, such as a full disk, in one sentence that names the user's file."""
    if error.strerror is None:  # NumPy's, for a file that cannot be written in whole
        return f"a file cannot be read or written: {error}"
    if error.filename is None:
        return f"a file cannot be read or written: {error.strerror}"
    path = Path(os.fsdecode(error.filename))
    return f"{path.parent if is_temporary(path) else path} cannot be read or written: {error.strerror}"


@contextlib.contextmanager
def progress_bar() -> Iterator[Callable[[float, str, str], None]]:
    """Show a progress bar, or, in a log file, a line from time to time and for each new stage.

    Yields:
        Function that takes the finished part, 0 to 1, the stage, and a description of the state.
    """
    percentage = TextColumn("{task.percentage:.1f} %")
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), percentage, TimeElapsedColumn())
    started, last_line, last_stage = time.monotonic(), -math.inf, ""
    # Of several processes, one per GPU, only the first writes to the terminal.
    with Progress(*columns, console=err, disable=os.environ.get("LOCAL_RANK", "0") != "0") as bar:
        task = bar.add_task("", total=1.0)

        def update(fraction: float, stage: str, description: str) -> None:
            nonlocal last_line, last_stage
            now = time.monotonic()
            bar.update(task, completed=fraction, description=description)
            due = now - last_line >= _LOG_INTERVAL_S or fraction >= 1.0 or stage != last_stage
            if not err.is_terminal and due:
                last_line, last_stage = now, stage
                say(f"{(now - started) / 60:6.1f} min {100 * fraction:5.1f} % {description}")

        yield update


def describe_pretraining(progress: PretrainProgress) -> str:
    """Describe the state of a pre-training or fine-tuning run in one line."""
    if progress.stage != "training":
        return f"step {progress.step} {progress.stage}"
    speed = progress.samples_seen / max(progress.elapsed_s, 1e-6)
    line = f"step {progress.step} loss {progress.loss:.3f} {speed:.1f} samples/s"
    if (score := progress.score) is not None:
        clicked = " ".join(f"{value:.3f}" for value in score.clicked)
        line += f" Dice {score.dice:.3f}, clicks {clicked}, jittered {score.jittered:.3f}"
    return line
