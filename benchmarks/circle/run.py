"""Annotate cases one after another, let the loop learn from them by its rules, and measure whether it gets easier."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.circle.annotator import Outlined, outline_all
from benchmarks.circle.cases import LabelledCase
from sixpoint.client import Client
from sixpoint.errors import Unavailable
from sixpoint.loop import Choice, Learning, Rules

__all__ = ["CaseResult", "annotate_alone", "annotate_in_the_circle", "write_figures"]

_SWITCH_SECONDS = 120.0
Say = Callable[[str], None]


@dataclass(frozen=True)
class CaseResult:
    """How the structures of a case were outlined.

    Attributes:
        case: Name of the case.
        split: "training", "validation" or "test"; empty outside of a dataset.
        structures: How each structure was outlined.
    """

    case: str
    split: str
    structures: tuple[Outlined, ...]


def annotate_alone(client: Client, cases: Sequence[LabelledCase], *, model: str, say: Say) -> list[CaseResult]:
    """Outline every case with the version that serves, and keep nothing."""
    results = []
    for case in cases:
        image, truths = case.read()
        with client.open_session(image, model=model) as session:
            done = outline_all(session, truths, paint=False)
        results.append(CaseResult(case.name, "", tuple(done)))
        say(f"without the circle: {_line(results[-1])}")
    return results


def annotate_in_the_circle(
    client: Client,
    cases: Sequence[LabelledCase],
    *,
    dataset: str,
    rules: Rules,
    folder: Path,
    repository: Path,
    triton: str,
    held_out: tuple[float, float],
    say: Say,
) -> list[CaseResult]:
    """Annotate, save and accept every case of a new dataset, in the gateway's order, and train by the rules.

    Args:
        client: Client of the gateway.
        cases: Labelled cases, all of the same labels.
        dataset: Name of the dataset to make.
        rules: Rules of the loop.
        folder: Folder of the loop.
        repository: Model repository that Triton serves.
        triton: Address of Triton.
        held_out: Share of the cases for validation, and for the test.
        say: Called with a line for people.
    """
    by_name = {case.name: case for case in cases}
    client.datasets.create(
        dataset, labels=list(cases[0].read()[1]), validation_share=held_out[0], test_share=held_out[1]
    )
    for case in cases:
        client.datasets.add_image(dataset, case.read()[0], case_name=case.name)
    learning = Learning.through(
        client,
        dataset=dataset,
        rules=rules,
        folder=folder,
        repository=repository,
        triton=[triton],
        say=lambda line: say(f"loop: {line}"),
    )
    results: list[CaseResult] = []
    while (image := client.datasets.next_image(dataset)) is not None:
        volume, truths = by_name[image.case_name].read()
        with client.open_session(volume, model=rules.model) as session:
            done = outline_all(session, truths, paint=True)
            saved = client.datasets.save(dataset, session.id)
        client.datasets.review(saved.id, "accepted")
        results.append(CaseResult(image.case_name, image.split, tuple(done)))
        say(f"{len(results)} of {len(cases)}: {_line(results[-1])}")
        if len(results) < len(cases) and learning.run_once().choice is Choice.PUBLISH:
            _wait_for_version(client, learning)
    return results


def write_figures(alone: Sequence[CaseResult], circle: Sequence[CaseResult], path: Path, *, seconds: float) -> None:
    """Write all results as JSON, cases in the order in which they were annotated."""
    content = {
        "seconds": round(seconds, 1),
        "without": [asdict(result) for result in alone],
        "with": [asdict(result) for result in circle],
    }
    path.write_text(json.dumps(content, indent=1) + "\n")


def _wait_for_version(client: Client, learning: Learning) -> None:
    """Wait until the gateway gives sessions the version that was just published."""
    from sixpoint.loop import read_decisions

    version = read_decisions(learning.folder)[-1].version
    deadline = time.monotonic() + _SWITCH_SECONDS
    while not any(info.name == learning.rules.model and info.version == version for info in client.models()):
        if time.monotonic() > deadline:
            raise Unavailable(f"the gateway does not serve version {version} after {_SWITCH_SECONDS:g} s")
        time.sleep(0.5)


def _line(result: CaseResult) -> str:
    parts = [
        f"{done.label} {done.dice[0]:.2f}, {done.clicks} click{'' if done.clicks == 1 else 's'} to {done.dice[-1]:.2f}"
        for done in result.structures
    ]
    return f"{result.case} (version {result.structures[0].version}): {'; '.join(parts)}"
