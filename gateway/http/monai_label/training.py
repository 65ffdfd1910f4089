"""Training as MONAI Label's clients ask for it: what can be trained, with which parameters, and how far it is."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta

from gateway.core.jobs import ENDED, JobRow
from gateway.core.runtime import Model
from sixpoint.errors import InvalidArgument
from sixpoint.errors.shortening import quoted
from sixpoint.model_spec import ModelSpec, Task

__all__ = ["describe_trainers", "describe_trainings", "is_trainable", "training_parameters"]

_MODALITIES = ("CT", "MR", "PT", "US")
_MINUTES = 60
_ALWAYS = ("minutes", "modality", "steps", "rate", "seed", "licence")
_OF_SEGMENTATION = ("batch", "mirror")
# What clients of MONAI Label send along: who they are, and on which of their server's GPUs it shall run.
_IGNORED = frozenset({"client_id", "model", "device", "multi_gpu", "gpus", "logging"})


def is_trainable(model: Model) -> bool:
    """Whether a training may start from a model: its spec says how its network is built."""
    return model.spec.network is not None


def describe_trainers(models: Iterable[Model]) -> dict[str, object]:
    """Return the trainers of ``/info/``, whose ``config`` viewers show, and send back."""
    return {
        model.name: {
            "description": f"Train {model.name} further on what people accepted; it is published by hand",
            "config": {
                "minutes": _MINUTES,
                # A choice: viewers send the first entry unless a person takes another.
                "modality": list(_modalities(model.spec)),
                **({"mirror": False} if model.spec.task is Task.SEGMENTATION else {}),
            },
        }
        for model in models
        if is_trainable(model)
    }


def describe_trainings(rows: Sequence[JobRow]) -> dict[str, object]:
    """Return the ``train_stats`` of ``/info/``: the latest training of each model, in percent, which stand for epochs.

    Args:
        rows: Jobs that train, the latest first: viewers show the first one.
    """
    described: dict[str, object] = {}
    for row in rows:
        model = str(row.parameters.get("start_model") or "")
        if model and model not in described:
            percent = round(100 * row.done / row.total) if row.total else 0
            ended = {"total_time": str(timedelta(seconds=round(row.ended - row.created)))}
            described[model] = {
                "start_ts": int(row.started or row.created),
                "epoch": percent,
                "total_epochs": 100,
                **(ended if row.state in ENDED else {}),
            }
    return described


def training_parameters(params: Mapping[str, object], model: Model, *, dataset: str) -> dict[str, object]:
    """Return the parameters of a job that trains a model further.

    Args:
        params: Parameters of the call.
        model: Model to start from.
        dataset: Name of the dataset that is learnt from.

    Raises:
        InvalidArgument: The model cannot be trained, a parameter is unknown, or the modality has to be said.
    """
    if not is_trainable(model):
        raise InvalidArgument(
            f"model {model.name!r} does not say how its network is built, so it cannot be trained; choose one of the "
            "trainers of GET /info/"
        )
    segments = model.spec.task is Task.SEGMENTATION
    accepted = _ALWAYS + _OF_SEGMENTATION if segments else _ALWAYS
    # Of a choice the first entry is meant, wherever a viewer sends all of it.
    given = {
        name: value[0] if isinstance(value, list) and value else value
        for name, value in params.items()
        if name not in _IGNORED
    }
    unknown = sorted(given.keys() - set(accepted))
    if unknown:
        raise InvalidArgument(
            f"params.{quoted(unknown[0])} is no parameter of a training of this model; expected: {', '.join(accepted)}"
        )
    if "modality" not in given:
        if segments and not model.spec.modalities:
            raise InvalidArgument(f"params.modality is missing; expected that of the images: {', '.join(_MODALITIES)}")
        given["modality"] = _modalities(model.spec)[0]
    moment = time.strftime("%Y%m%d-%H%M%S", time.gmtime())
    return {
        "minutes": _MINUTES,
        **given,
        # The run is named for whoever publishes it.
        "run": f"{model.name[:60]}-{moment}-{secrets.token_hex(2)}",
        "dataset": dataset,
        "task": model.spec.task.value,
        "start_model": model.name,
    }


def _modalities(spec: ModelSpec) -> tuple[str, ...]:
    return spec.modalities or _MODALITIES
