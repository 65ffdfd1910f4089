"""The rules of a loop: when to train, how, what a new version must reach, and how it gets sessions."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sixpoint.errors import InvalidArgument

__all__ = ["Gates", "PublishRules", "Rules", "TrainRules", "TrialRules", "read_rules"]

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
    """

    may_fall: _Dice = 0.02
    must_rise: _Dice = 0.0


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


class Rules(_Part):
    """The rules of a loop.

    Attributes:
        modality: Modality of the images, for the export.
        model: Name of the annotation model that is trained and published.
        licence: Licence of the data; empty if unknown.
        train: When and how to train.
        gates: What a new version must reach.
        publish: How it is published.
        trial: When a trial ends, and how.
    """

    modality: Annotated[str, Field(min_length=1)]
    model: Annotated[str, Field(min_length=1)] = "annotation"
    licence: str = ""
    train: TrainRules = TrainRules()
    gates: Gates = Gates()
    publish: PublishRules = PublishRules()
    trial: TrialRules = TrialRules()


def read_rules(path: Path) -> Rules:
    """Read rules from a YAML file.

    Raises:
        InvalidArgument: The file cannot be read, or a rule has another form than expected; the error names it.
    """
    try:
        import yaml
    except ModuleNotFoundError:
        raise InvalidArgument(
            "rules are read by PyYAML, which is not installed: a loop runs where trainer and exporter are, in a "
            'checkout of sixpoint: pip install ".[trainer,exporter]"'
        ) from None
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = getattr(error, "strerror", None) or str(error).partition("\n")[0]
        raise InvalidArgument(f"the rules in {path} cannot be read: {reason}; expected YAML") from None
    try:
        return Rules.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the file"
        raise InvalidArgument(f"the rules in {path}: {place}: {first['msg'][:1].lower()}{first['msg'][1:]}") from None
