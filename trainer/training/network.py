"""Build the MONAI network that a spec names."""

from __future__ import annotations

from monai.networks import nets
from torch import nn

from sixpoint.errors import ModelSpecError
from sixpoint.model_spec import ModelSpec, NetworkSpec, Task

__all__ = ["build_network"]


def build_network(spec: ModelSpec) -> nn.Module:
    """Build the network of a spec, freshly initialised.

    Raises:
        ModelSpecError: The spec names no network, MONAI does not know it or refuses its arguments, or the spec
            converts between the network's tensors and the model's: a network is trained on the model's own tensors.
    """
    if spec.network is None:
        raise ModelSpecError("the spec names no network; expected network: {name, arguments}")
    _check_no_conversion(spec, spec.network)
    kind = getattr(nets, spec.network.name, None)
    if not (isinstance(kind, type) and issubclass(kind, nn.Module)):
        raise ModelSpecError(f"monai.networks.nets has no network {spec.network.name!r}")
    try:
        return kind(**spec.network.arguments)
    except (TypeError, ValueError) as error:
        raise ModelSpecError(f"network {spec.network.name}: {error}") from error


def _check_no_conversion(spec: ModelSpec, network: NetworkSpec) -> None:
    """Refuse conversions that the exporter would add to a network trained without them: parity would not notice."""
    usual = "softmax" if spec.task is Task.SEGMENTATION else "sigmoid"
    conversions = {
        "network.axes": network.axes != "SPL",
        "network.scale": any(factor != 1 for factor in network.scale),
        "network.offset": any(network.offset),
        "network.activation": network.activation not in {None, usual},
        "network.channels": network.channels not in {(), tuple(range(spec.output_shape[0]))},
        "output.exclusive": not spec.output.exclusive,
    }
    if spec.task is Task.ANNOTATION:
        # Each of the others needs a whole image, too.
        roi = spec.roi
        conversions |= {
            "roi.whole": roi.whole,
            "roi.resampling": roi.resampling != "smoothed",
            "roi.windowed_first": roi.windowed_first,
            "roi.click_placement": roi.click_placement != "exact",
        }
    if spec.patch is not None:
        conversions |= {
            "patch.grid": spec.patch.grid != "faces",
            "patch.average": spec.patch.average != "probabilities",
            "patch.labelled": spec.patch.labelled != "image",
            "patch.foreground": spec.patch.foreground is not None,
        }
    if names := ", ".join(name for name, present in conversions.items() if present):
        raise ModelSpecError(
            f"the spec has {names}, which only networks trained elsewhere need: the trainer trains on the model's own "
            "tensors. Remove it from the spec"
        )
