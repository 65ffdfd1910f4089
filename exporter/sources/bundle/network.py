"""What a bundle says of its network: the class, its arguments, and which channels of its output are which labels."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Mapping, Sequence
from typing import Any

from monai.networks import nets
from torch import nn

from exporter.sources.bundle.expression import Unknown
from exporter.sources.bundle.output import Postprocessing
from exporter.sources.bundle.preprocessing import MissingField

__all__ = ["kept_channels", "read_network", "seen_channels"]

_GONE = {"SwinUNETR": {"img_size"}, "UNETR": {"pos_embed"}}
"""Arguments of older MONAI versions that changed no weight, and that today's classes refuse."""
_SEEN, _RETURNED = ("in_channels",), ("out_channels", "num_classes")


def read_network(definition: Any, gaps: list[MissingField]) -> dict[str, Any]:
    """Name and arguments of the network.

    Args:
        definition: The config's ``network_def``, resolved.
        gaps: Grows by what is no class of MONAI, or no plain argument.
    """
    target = definition.get("_target_") if isinstance(definition, dict) else None
    problem = None
    flag = "--spec FILE with network: {name, arguments}"
    if not isinstance(definition, dict) or not isinstance(target, str):
        problem = "network_def names no network"
    elif "." in target and not target.startswith("monai.networks.nets."):
        problem = f"network_def is {target}, which is no network of MONAI, and a bundle's own code is not run"
    if problem is not None or not isinstance(definition, dict):
        gaps.append(MissingField("network.name", problem or "", flag))
        return {"name": "unknown"}
    name = str(target).rpartition(".")[2]
    kind = getattr(nets, name, None)
    if not (inspect.isclass(kind) and issubclass(kind, nn.Module)):
        close = difflib.get_close_matches(name, [key for key, one in vars(nets).items() if inspect.isclass(one)], n=1)
        gaps.append(
            MissingField("network.name", f"MONAI has no network {name}" + (f": {close[0]}?" if close else ""), flag)
        )
        return {"name": name}
    arguments = {key: value for key, value in definition.items() if not key.startswith("_")}
    arguments = {key: value for key, value in arguments.items() if key not in _GONE.get(name, ())}
    if "pretrained" in arguments:  # the weights come with the bundle, and nothing is fetched
        arguments["pretrained"] = False
    for key, value in arguments.items():
        unplain = _unplain(value)
        if unplain is not None:
            gaps.append(
                MissingField(
                    f"network.arguments.{key}", f"network_def's {key} is {unplain}, which only code can tell", flag
                )
            )
    return {"name": name, "arguments": arguments}


def _unplain(value: Any) -> str | None:
    """What in a value is no plain data."""
    if isinstance(value, Unknown):
        return value.text
    if isinstance(value, Mapping):
        return (
            str(value["_target_"]) if "_target_" in value else next(filter(None, map(_unplain, value.values())), None)
        )
    if isinstance(value, list | tuple):
        return next(filter(None, map(_unplain, value)), None)
    return None


def seen_channels(network: Mapping[str, Any]) -> int | None:
    """Channels of the network's input; None where that is not known."""
    return _channels(network, _SEEN)


def kept_channels(
    network: Mapping[str, Any],
    after: Postprocessing,
    *,
    labels: Sequence[str],
    indices: Sequence[int],
    clicked: bool,
    gaps: list[MissingField],
) -> dict[str, Any]:
    """The activation, and which channels of the network's output are kept.

    Args:
        network: Name and arguments.
        after: The postprocessing.
        labels: Names of the labels, background left out.
        indices: Their channels, as the metadata says.
        clicked: Whether the network sees clicks, and its answer is one object.
        gaps: Grows where channels and labels do not go together.
    """
    returned = _channels(network, _RETURNED)
    if clicked:
        if returned == 1:
            return {"activation": "sigmoid"}
        return {"activation": "softmax", "channels": list(indices[:1]) or [1]}
    exclusive = after.exclusive
    if exclusive is None:
        exclusive = returned != len(labels)
        after.notes.append(
            f"no postprocessing says how labels are decided: {'the largest wins' if exclusive else 'each for itself'}"
        )
    wanted, named = len(labels) + exclusive, len(indices) == len(labels)
    if exclusive:
        if returned is not None and labels and returned != wanted:
            gaps.append(_other(returned, f"{len(labels)} labels and background"))
        background = [index for index in range(wanted) if index not in indices]
        if named and background not in ([], [0]):
            return {"activation": "softmax", "channels": [*background, *indices]}
        return {"activation": "softmax"}
    if after.activation is None:
        after.notes.append(
            "no postprocessing says what the network's output goes through before the threshold: a sigmoid"
        )
    # Of a softmax the first channel is background, unless the metadata says another.
    activation = after.activation or "sigmoid"
    first = int(activation == "softmax")
    channels = list(indices) if named else list(range(first, first + len(labels)))
    if returned is not None and labels and max(channels) >= returned:
        gaps.append(_other(returned, f"{len(labels)} labels"))
    return {"activation": activation, "channels": channels}


def _other(returned: int, named: str) -> MissingField:
    return MissingField(
        "labels", f"the network returns {returned} channels, and the metadata names {named}", "--labels NAME,NAME"
    )


def _channels(network: Mapping[str, Any], names: Sequence[str]) -> int | None:
    """A count of channels among a network's arguments, or their defaults."""
    arguments = network.get("arguments", {})
    kind = getattr(nets, str(network.get("name")), None)
    parameters = inspect.signature(kind).parameters if inspect.isclass(kind) else {}
    for name in names:
        value = arguments.get(name, parameters[name].default if name in parameters else None)
        if isinstance(value, int):
            return value
    return None
