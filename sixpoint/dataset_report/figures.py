"""The figures of a report, from what the gateway knows of a dataset and what a loop recorded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from sixpoint.client import AnnotationInfo, Client, DatasetInfo
from sixpoint.loop import Decision

__all__ = ["AnnotatorFigures", "CaseFigures", "DatasetFigures", "LabelFigures", "collect_figures"]


@dataclass(frozen=True)
class CaseFigures:
    """The first finished annotation of a case.

    Attributes:
        case: Name of the case.
        annotation: The annotation.
        corrections: Corrections per mask: prompts beyond the first of each mask.
        seconds: Seconds of work per mask.
    """

    case: str
    annotation: AnnotationInfo
    corrections: float
    seconds: float


@dataclass(frozen=True)
class AnnotatorFigures:
    """What one person did.

    Attributes:
        name: Name of the annotator.
        cases: Number of cases.
        corrections: Mean corrections per mask.
        seconds: Mean seconds of work per mask.
        accepted: Number of accepted annotations.
        rejected: Number of rejected ones.
    """

    name: str
    cases: int
    corrections: float
    seconds: float
    accepted: int
    rejected: int


@dataclass(frozen=True)
class LabelFigures:
    """A label.

    Attributes:
        name: Name of the label.
        present: Number of images whose latest annotation has voxels of it.
        absent: Number of images whose latest annotation says that it is absent.
        corrections: Mean corrections per mask of the annotations of this label alone; None if there are none.
    """

    name: str
    present: int
    absent: int
    corrections: float | None


@dataclass(frozen=True)
class DatasetFigures:
    """The figures of a report.

    Attributes:
        dataset: The dataset.
        images: Number of images by split.
        cases: Cases in the order in which their first annotation was saved; those from sessions.
        annotators: What each person did.
        labels: The labels.
        decisions: Decisions of the loop.
    """

    dataset: DatasetInfo
    images: dict[str, int]
    cases: tuple[CaseFigures, ...]
    annotators: tuple[AnnotatorFigures, ...]
    labels: tuple[LabelFigures, ...]
    decisions: tuple[Decision, ...]


def collect_figures(client: Client, name: str, decisions: Sequence[Decision] = ()) -> DatasetFigures:
    """Ask the gateway for what a report shows.

    Args:
        client: Client of the gateway.
        name: Name of the dataset.
        decisions: Decisions of its loop.

    Raises:
        DatasetNotFound: There is no such dataset.
    """
    dataset, images = client.datasets.get(name), client.datasets.images(name)
    names = {image.digest: image.case_name for image in images}
    finished = [info for info in client.datasets.annotations(name) if info.state != "draft"]
    first: dict[str, AnnotationInfo] = {}
    latest: dict[str, AnnotationInfo] = {}
    for info in sorted(finished, key=lambda info: (info.created, info.version)):
        # Where somebody decided between annotations, the one that decided counts.
        if info.state != "rejected" or not info.adjudicated_by:
            latest[info.image_digest] = info
        # Without a session nobody knows what it took.
        if info.session_id:
            first.setdefault(info.image_digest, info)
    cases = tuple(_case(names.get(digest, ""), info) for digest, info in first.items())
    return DatasetFigures(
        dataset=dataset,
        images={split: sum(image.split == split for image in images) for split in ("training", "validation", "test")},
        cases=cases,
        annotators=_annotators(cases, finished),
        labels=tuple(_label(label.name, list(latest.values()), cases) for label in dataset.labels),
        decisions=tuple(decisions),
    )


def _case(name: str, info: AnnotationInfo) -> CaseFigures:
    masks = max(1, sum(count > 0 for count in info.voxel_counts.values()))
    return CaseFigures(name, info, max(0, info.prompt_count - masks) / masks, info.active_seconds / masks)


def _annotators(cases: Sequence[CaseFigures], finished: Sequence[AnnotationInfo]) -> tuple[AnnotatorFigures, ...]:
    result = []
    for name in sorted({info.annotator for info in finished}):
        own = [case for case in cases if case.annotation.annotator == name]
        own_infos = [info for info in finished if info.annotator == name]
        # A reader's mask that did not decide is no bad one.
        states = [info.state for info in own_infos if info.adjudicated_by in ("", info.id)]
        result.append(
            AnnotatorFigures(
                name=name,
                cases=len(own),
                corrections=fmean(case.corrections for case in own) if own else 0.0,
                seconds=fmean(case.seconds for case in own) if own else 0.0,
                accepted=states.count("accepted"),
                rejected=states.count("rejected"),
            )
        )
    return tuple(result)


def _label(name: str, latest: Sequence[AnnotationInfo], cases: Sequence[CaseFigures]) -> LabelFigures:
    counts = [info.voxel_counts[name] for info in latest if name in info.voxel_counts]
    alone = [
        case.corrections
        for case in cases
        if [label for label, count in case.annotation.voxel_counts.items() if count] == [name]
    ]
    present = sum(count > 0 for count in counts)
    return LabelFigures(name, present, len(counts) - present, fmean(alone) if alone else None)
