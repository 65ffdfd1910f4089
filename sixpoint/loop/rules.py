"""The rules of a loop: when to train, how, what a new version must reach, and how it gets sessions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sixpoint.errors import InvalidArgument
from sixpoint.errors.shortening import quoted

__all__ = [
    "Gates",
    "PublishRules",
    "Rules",
    "SegmentationRules",
    "Task",
    "TrainRules",
    "TrialRules",
    "parse_rules",
    "read_rules",
]

Task = Literal["annotation", "segmentation"]
"""What a model does: it outlines what people click on, or it segments images by itself."""

_Count = Annotated[int, Field(ge=1)]
_Fraction = Annotated[float, Field(gt=0, le=1)]
_Dice = Annotated[float, Field(ge=0, le=1)]


class _Part(BaseModel):
    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, extra="forbid")


class TrainRules(_Part):
    """When and how to train.

    Attributes:
        new_accepted: Number of accepted annotations that no training has had, at which one begins.
        after_days: Days that the oldest of them may wait; then a training begins whatever their number. None: for ever.
        minimum: Number of accepted annotations below which nothing is trained.
        minutes: Budget of a training.
        steps: Steps after which a training ends, whatever is left of the minutes; None: never.
        rate: Peak learning rate; None for the trainer's own.
    """

    new_accepted: _Count = 10
    after_days: Annotated[float, Field(gt=0)] | None = None
    minimum: _Count = 4
    minutes: Annotated[float, Field(gt=0)] = 20.0
    steps: _Count | None = None
    rate: Annotated[float, Field(gt=0)] | None = None


class Gates(_Part):
    """What a new version must reach on the held-out cases, beside the version that it started from.

    Attributes:
        may_fall: Dice that any label, and any other figure, may be lower.
        must_rise: Dice that the mean of the first answers, or that after clicks, must be higher.
        first_dice: Mean Dice that the first version of a segmentation model must reach: it has none beside it.
        may_slow: Factor by which the time in Triton may grow. None: it is not measured.
    """

    may_fall: _Dice = 0.02
    must_rise: _Dice = 0.0
    first_dice: _Dice = 0.6
    may_slow: Annotated[float, Field(ge=0.1)] | None = 1.5


class PublishRules(_Part):
    """How a version that passed is published.

    Attributes:
        share: Share of the sessions that it gets; below 1 it is on trial.
    """

    share: _Fraction = 1.0


class TrialRules(_Part):
    """When a trial ends, and how.

    Attributes:
        masks: Number of accepted masks of each version that are waited for.
        more_corrections: Corrections per accepted mask that the candidate may need beyond the other version.
        days: Days after which a trial ends without so many masks, and the candidate with it. None: never.
    """

    masks: _Count = 20
    more_corrections: Annotated[float, Field(ge=0)] = 0.0
    days: Annotated[float, Field(gt=0)] | None = None


class SegmentationRules(_Part):
    """How the segmentation model is trained, which needs no clicks, and what it then does.

    Attributes:
        model: Name of the model that is trained and published.
        start: "last" trains on from the version that serves; "scratch" begins with random weights. A first version
            always does.
        minutes: Budget of a training.
        steps: Steps after which a training ends, whatever is left of the minutes; None: the trainer's own number.
        rate: Peak learning rate; None for the trainer's own.
        mirror: Whether to swap left and right in half of the patches: wrong for labels with a side.
        segment: Whether a job then segments the images that nobody has annotated, with each new version.
    """

    model: Annotated[str, Field(min_length=1)] = "segmentation"
    start: Literal["last", "scratch"] = "last"
    minutes: Annotated[float, Field(gt=0)] = 60.0
    steps: _Count | None = None
    rate: Annotated[float, Field(gt=0)] | None = None
    mirror: bool = False
    segment: bool = False


class Rules(_Part):
    """The rules of a loop.

    Attributes:
        modality: Modality of the images, for the export.
        learn: Which models are trained: the annotation model, the segmentation model, or both.
        model: Name of the annotation model that is trained and published.
        licence: Licence of the data; empty if unknown.
        train: When to train, and how the annotation model is trained.
        segmentation: How the segmentation model is trained.
        gates: What a new version must reach.
        publish: How a version of the annotation model is published. One of the segmentation model serves at once.
        trial: When a trial ends, and how.
    """

    modality: Annotated[str, Field(min_length=1)]
    learn: Literal["annotation", "segmentation", "both"] = "annotation"
    model: Annotated[str, Field(min_length=1)] = "annotation"
    licence: str = ""
    train: TrainRules = TrainRules()
    segmentation: SegmentationRules = SegmentationRules()
    gates: Gates = Gates()
    publish: PublishRules = PublishRules()
    trial: TrialRules = TrialRules()

    @property
    def tasks(self) -> tuple[Task, ...]:
        """Tasks of the models that are trained."""
        return ("annotation", "segmentation") if self.learn == "both" else (self.learn,)

    def model_of(self, task: Task) -> str:
        """Name of the model of a task."""
        return self.model if task == "annotation" else self.segmentation.model

    def training_of(self, task: Task) -> TrainRules | SegmentationRules:
        """How the model of a task is trained."""
        return self.train if task == "annotation" else self.segmentation

    def share_of(self, task: Task) -> float:
        """Share of the sessions that a new version of a task's model gets."""
        return self.publish.share if task == "annotation" else 1.0


def read_rules(path: Path) -> Rules:
    """Read rules from a YAML file.

    Raises:
        InvalidArgument: The file cannot be read, or a rule has another form than expected; the error names it.
    """
    try:
        import yaml
    except ModuleNotFoundError:
        raise InvalidArgument("rules are read by PyYAML, which is not installed: pip install pyyaml") from None
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = getattr(error, "strerror", None) or str(error).partition("\n")[0]
        raise InvalidArgument(f"the rules in {path} cannot be read: {reason}; expected YAML") from None
    return parse_rules(content, where=f"in {path}")


def parse_rules(content: object, *, where: str = "of a loop") -> Rules:
    """Read rules from what JSON or YAML has.

    Args:
        content: The rules.
        where: Where they are, for errors.

    Raises:
        InvalidArgument: A rule has another form than expected; the error names it.
    """
    if not isinstance(content, Mapping):
        raise InvalidArgument(f"the rules {where}: expected names and values, such as modality: CT")
    try:
        return Rules.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        if first["type"] == "extra_forbidden":
            raise InvalidArgument(
                f"the rules {where}: there is no rule {quoted(place)}; expected {_names_beside(first['loc'])}"
            ) from None
        raise InvalidArgument(f"the rules {where}: {place}: {first['msg'][:1].lower()}{first['msg'][1:]}") from None


def _names_beside(place: Sequence[str | int]) -> str:
    """The names of the rules in the part where there is no such rule."""
    part: type[BaseModel] = Rules
    for name in place[:-1]:
        annotation = part.model_fields[str(name)].annotation
        assert isinstance(annotation, type)
        part = annotation
    return ", ".join(part.model_fields)
