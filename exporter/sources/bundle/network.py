"""Read a bundle's network: its class, its arguments, and the labels of its output channels."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Mapping, Sequence
from typing import Any

from monai.networks import nets
from torch import nn

from exporter.sources.bundle.data.expression import Unknown
from exporter.sources.bundle.missing import MissingField
from exporter.sources.bundle.output import Postprocessing

__all__ = ["input_channels", "output_fields", "read_network"]

_REMOVED = {"SwinUNETR": {"img_size"}, "UNETR": {"pos_embed"}}
"""Arguments of older MONAI versions that affect no weight and that today's classes refuse."""
_INPUT_ARGUMENTS, _OUTPUT_ARGUMENTS = ("in_channels",), ("out_channels", "num_classes")


def read_network(definition: Any, missing: list[MissingField]) -> dict[str, Any]:
    """Return the name and the arguments of the network.

    Args:
        definition: The config's ``network_def``, resolved.
        missing: Receives a network that is not MONAI's, and arguments that are not plain data.
    """
    target = definition.get("_target_") if isinstance(definition, dict) else None
    problem = None
    flag = "--spec FILE with network: {name, arguments}"
    if not isinstance(definition, dict) or not isinstance(target, str):
        problem = "network_def names no network"
    elif "." in target and not target.startswith("monai.networks.nets."):
        problem = f"network_def is {target}, which is not a network of MONAI, and a bundle's own code is not run"
    if problem is not None or not isinstance(definition, dict):
        missing.append(MissingField("network.name", problem or "", flag))
        return {"name": "unknown"}
    name = str(target).rpartition(".")[2]
    kind = getattr(nets, name, None)
    if not (inspect.isclass(kind) and issubclass(kind, nn.Module)):
        close = difflib.get_close_matches(
            name, [key for key, value in vars(nets).items() if inspect.isclass(value)], n=1
        )
        missing.append(
            MissingField(
                "network.name", f"MONAI has no network {name}" + (f": did you mean {close[0]}?" if close else ""), flag
            )
        )
        return {"name": name}
    arguments = {key: value for key, value in definition.items() if not key.startswith("_")}
    arguments = {key: value for key, value in arguments.items() if key not in _REMOVED.get(name, ())}
    if "pretrained" in arguments:  # the weights come with the bundle; MONAI must download none
        arguments["pretrained"] = False
    for key, value in arguments.items():
        unplain = _unplain(value)
        if unplain is not None:
            missing.append(
                MissingField(
                    f"network.arguments.{key}", f"network_def's {key} is {unplain}, which is not plain data", flag
                )
            )
    return {"name": name, "arguments": arguments}


def _unplain(value: Any) -> str | None:
    """Return the first part of a value that is not plain data; None if all of it is."""
    if isinstance(value, Unknown):
        return value.text
    if isinstance(value, Mapping):
        return (
            str(value["_target_"]) if "_target_" in value else next(filter(None, map(_unplain, value.values())), None)
        )
    if isinstance(value, list | tuple):
        return next(filter(None, map(_unplain, value)), None)
    return None


def input_channels(network: Mapping[str, Any]) -> int | None:
    """Return the number of the network's input channels; None if it is unknown."""
    return _channels(network, _INPUT_ARGUMENTS)


def output_fields(
    network: Mapping[str, Any],
    after: Postprocessing,
    *,
    labels: Sequence[str],
    indices: Sequence[int],
    clicks: bool,
    missing: list[MissingField],
) -> dict[str, Any]:
    """Return the activation and the selection of output channels, as fields of the spec's network.

    Args:
        network: Name and arguments of the network.
        after: The postprocessing; receives notes.
        labels: Names of the labels, without background.
        indices: Their channels in the metadata.
        clicks: Whether the network takes clicks and returns one object.
        missing: Receives contradictions between channels and labels.
    """
    returned = _channels(network, _OUTPUT_ARGUMENTS)
    if clicks:
        if returned == 1:
            return {"activation": "sigmoid"}
        return {"activation": "softmax", "channels": list(indices[:1]) or [1]}
    exclusive = after.exclusive
    if exclusive is None:
        exclusive = after.exclusive = returned != len(labels)
        after.notes.append(
            f"no postprocessing decides between labels: {'the largest wins' if exclusive else 'each by itself'}"
        )
    expected, named = len(labels) + exclusive, len(indices) == len(labels)
    if exclusive:
        if returned is not None and labels and returned != expected:
            missing.append(_channel_mismatch(returned, f"{len(labels)} labels and background"))
        background = [index for index in range(expected) if index not in indices]
        decided = {"activation": after.activation or "none"}
        if named and background not in ([], [0]):
            return {**decided, "channels": [*background, *indices]}
        return decided
    # The first channel of a softmax is background, unless the metadata names another.
    activation = after.label_activation
    first = int(activation == "softmax")
    if activation == "softmax":
        after.notes.append("where windows overlap, the gateway averages probabilities, the bundle the network's output")
    channels = list(indices) if named else list(range(first, first + len(labels)))
    if returned is not None and labels and max(channels) >= returned:
        missing.append(_channel_mismatch(returned, f"{len(labels)} labels"))
    return {"activation": activation, "channels": channels}


def _channel_mismatch(returned: int, named: str) -> MissingField:
    return MissingField(
        "labels", f"the network returns {returned} channels, and the metadata names {named}", "--labels NAME,NAME"
    )


def _channels(network: Mapping[str, Any], names: Sequence[str]) -> int | None:
    """Return a number of channels from a network's arguments, or their defaults; None if it is unknown."""
    arguments = network.get("arguments", {})
    kind = getattr(nets, str(network.get("name")), None)
    parameters = inspect.signature(kind).parameters if inspect.isclass(kind) else {}
    for name in names:
        value = arguments.get(name, parameters[name].default if name in parameters else None)
        if isinstance(value, int):
            return value
    return None
