"""Compare what two versions of a model measured on images, so that no worse one replaces a better one unnoticed.

The figures are those of the specs (``metrics``): the trainer's of its held-out cases (``dice``, ``dice_LABEL``,
``dice_clicks_N``) or of synthetic scenes (``synthetic_dice``), an evaluation's that a person added (``dice_points``),
or a bundle's. What they were measured on is in the specs' ``provenance`` (``dataset``, ``bundle``).
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict

from sixpoint.errors import FailedPrecondition
from sixpoint.model_spec import ModelSpec

__all__ = ["ComparedFigure", "FigureComparison", "compare_figures", "require_as_good"]

# A Dice is a mean over some tens of held-out cases, whose own Dice differ by about 0.05 to 0.1. So its standard error
# is about 0.01, and a training that differs only in its seed may lie as far off. Twice that is more than chance.
_TOLERANCE = 0.02
# Distances in mm vary more: a surface distance is the tail of its distribution.
_DISTANCE_TOLERANCE = 0.1
# Other images may be harder: the shipped network's Dice of 0.81 is 0.77 on anatomy that it was not trained on. Half is
# far more than that.
_OTHER_DATA_SHARE = 0.5

_SCORES = {
    "dice",
    "nsd",
    "iou",
    "jaccard",
    "accuracy",
    "f1",
    "auc",
    "precision",
    "recall",
    "sensitivity",
    "specificity",
}
# Of a name such as dice_loss or dice_std: less is better, or neither.
_NOT_SCORES = {"loss", "error", "std", "sd", "stdev", "var", "variance", "sem", "iqr", "count", "cases"}
_DISTANCES = {"hd", "hd95", "hausdorff", "assd", "asd", "masd"}
_MAIN = ("dice", "dice_points", "mean_dice", "val_mean_dice", "synthetic_dice")
"""Names of the figure that tells most about a network's first answer, the best one first."""
# Methods without a network, measured beside it: they say nothing about it.
_BASELINE = re.compile(r"_(ellipsoid|random_walker|graph_cut)$")


class ComparedFigure(BaseModel):
    """One figure of two versions.

    Attributes:
        new: Its value for the new version.
        old: Its value for the version that serves.
        worse: Whether the new one is worse by more than chance explains.
    """

    model_config = ConfigDict(frozen=True)

    new: float
    old: float
    worse: bool


class FigureComparison(BaseModel):
    """The figures of a version beside those of the version that serves.

    Attributes:
        serving: Number of the version that serves.
        compared: Figures that both versions have, measured on the same kind of data, by name.
        not_compared: Figures that cannot be compared, by name, with the reason.
        far_below: Sentence about a main figure, measured on other data, that is far below; empty if none is.
        changed_data: Name of the dataset that both were measured on, if its files have changed in between; else empty.
    """

    model_config = ConfigDict(frozen=True)

    serving: int
    compared: dict[str, ComparedFigure]
    not_compared: dict[str, str]
    far_below: str = ""
    changed_data: str = ""

    @property
    def worse(self) -> bool:
        """Whether the new version is worse."""
        return bool(self.far_below) or any(figure.worse for figure in self.compared.values())

    def lines(self) -> list[str]:
        """Return lines for people: the figures beside each other, and those that were not compared."""
        lines = []
        if self.compared:
            lines.append(f"figures (version {self.serving} in brackets): {_list(self.compared)}")
        elif not self.not_compared:
            lines.append(f"figures not compared: neither this version nor version {self.serving} has any")
        if self.compared and self.changed_data:
            lines.append(
                f"note: the files of {self.changed_data} have changed since version {self.serving} was measured, so "
                "that the figures may be of other cases"
            )
        by_reason: dict[str, list[str]] = {}
        for name, reason in self.not_compared.items():
            by_reason.setdefault(reason, []).append(name)
        lines += [f"figures not compared, {reason}: {', '.join(names)}" for reason, names in by_reason.items()]
        if self.worse:
            lines.append(f"warning: worse than version {self.serving}: {self._faults()}")
        return lines

    def refusal(self, model: str) -> str:
        """Return the sentence that refuses the new version."""
        gaps = [line for line in self.lines() if line.startswith("figures not compared")]
        return (
            f"worse than version {self.serving} of {model}, which serves (its figures in brackets): {self._faults()}. "
            f"Accepted are scores up to {_TOLERANCE:g} lower, and distances up to {_DISTANCE_TOLERANCE:.0%} longer. "
            f"Train it further, or give it to sessions all the same with --force{''.join(f'. {gap}' for gap in gaps)}"
        )

    def _faults(self) -> str:
        worse = {name: figure for name, figure in self.compared.items() if figure.worse}
        return "; ".join(filter(None, (_list(worse), self.far_below)))


def compare_figures(new: ModelSpec, old: ModelSpec, *, serving: int) -> FigureComparison:
    """Compare the figures of two versions of a model.

    Figures are compared by name, if nothing says that they were measured on different data.

    Args:
        new: Spec of the version that is to get sessions.
        old: Spec of the version that serves.
        serving: Number of the version that serves.
    """
    compared: dict[str, ComparedFigure] = {}
    not_compared: dict[str, str] = {}
    for name in dict.fromkeys((*new.metrics, *old.metrics)):
        if _BASELINE.search(name):
            continue
        reason = _obstacle(name, new, old, serving=serving)
        if reason:
            not_compared[name] = reason
        else:
            values = new.metrics[name], old.metrics[name]
            compared[name] = ComparedFigure(new=values[0], old=values[1], worse=_is_worse(name, *values))
    return FigureComparison(
        serving=serving,
        compared=compared,
        not_compared=not_compared,
        far_below=_far_below(new, old, compared),
        changed_data=_changed_data(new.provenance, old.provenance),
    )


def require_as_good(comparison: FigureComparison, *, name: str, force: bool) -> None:
    """Refuse a version that is worse than the one that serves.

    Args:
        comparison: Comparison of their figures.
        name: Name of the model.
        force: Whether to accept a worse version.

    Raises:
        FailedPrecondition: The version is worse, and not forced.
    """
    if comparison.worse and not force:
        raise FailedPrecondition(comparison.refusal(name))


def _obstacle(name: str, new: ModelSpec, old: ModelSpec, *, serving: int) -> str:
    """Return why a figure cannot be compared; empty if it can be."""
    if name not in old.metrics:
        return f"version {serving} lacks them"
    if name not in new.metrics:
        return "this version lacks them"
    if not all(math.isfinite(spec.metrics[name]) for spec in (new, old)):
        return "since a value is not a number"
    if not _words(name) & (_SCORES | _DISTANCES) or _words(name) & _NOT_SCORES:
        return "since it is unknown whether more is better"
    if _is_score(name) and (new.metrics[name] > 1) != (old.metrics[name] > 1):
        return "since one version states them in percent"
    data = [_data(name, spec.provenance) for spec in (new, old)]
    if data[0] != data[1]:
        first, second = (text or "data that the spec does not name" for text in data)
        return f"since they were measured on {first}, and those of version {serving} on {second}"
    return ""


def _data(name: str, provenance: Mapping[str, str]) -> str:
    """Return what a figure was measured on; empty if the spec does not say it."""
    if name.startswith("synthetic_"):
        return "synthetic scenes"
    return provenance.get("dataset") or provenance.get("bundle") or ""


def _changed_data(new: Mapping[str, str], old: Mapping[str, str]) -> str:
    """Return the name of the dataset of both, if its files differ; else nothing."""
    name = new.get("dataset", "")
    digests = {provenance["dataset_sha256"] for provenance in (new, old) if provenance.get("dataset_sha256")}
    return name if name == old.get("dataset") and len(digests) > 1 else ""


def _is_worse(name: str, new: float, old: float) -> bool:
    if not _is_score(name):
        return new > old * (1 + _DISTANCE_TOLERANCE)
    scale = 100 if old > 1 else 1
    # Rounded: 0.80 is not more than 0.02 below 0.82.
    return round(old - new, 6) > _TOLERANCE * scale


def _far_below(new: ModelSpec, old: ModelSpec, compared: Mapping[str, ComparedFigure]) -> str:
    """Return a sentence if the main figure, measured on other data, is below what other data explain; else nothing."""
    names = [next((name for name in _MAIN if name in spec.metrics), "") for spec in (new, old)]
    if not all(names) or (names[0] == names[1] and names[0] in compared):
        return ""
    values = new.metrics[names[0]], old.metrics[names[1]]
    if values[0] >= _OTHER_DATA_SHARE * values[1] or (values[0] > 1) != (values[1] > 1):
        return ""
    return f"{names[0]} {values[0]:.4g}, not half of the {names[1]} {values[1]:.4g}, which other data do not explain"


def _is_score(name: str) -> bool:
    return bool(_words(name) & _SCORES)


def _words(name: str) -> set[str]:
    return set(re.split(r"[^a-z0-9]+", name.lower()))


def _list(figures: Mapping[str, ComparedFigure]) -> str:
    return ", ".join(f"{name} {figure.new:.4g} ({figure.old:.4g})" for name, figure in figures.items())
