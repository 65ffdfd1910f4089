"""Refuse bundles of other kinds than 3D segmentation by what they are, before anything else that they lack."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from exporter.sources.bundle.data.config import Config
from exporter.sources.bundle.data.transforms import plain_name
from sixpoint.errors import InvalidArgument

__all__ = ["require_3d_segmentation"]

_KINDS = {
    "a generator of images": re.compile(
        r"AutoencoderKL\w*|\w*Diffusion\w*|VQVAE|VAE|VarAutoEncoder|AutoEncoder|ControlNet\w*|SPADE\w*|"
        r"\w*Generator|\w*Discriminator|\w*DiffusionInferer|DDPMScheduler|DDIMScheduler|RFlowScheduler|VQVAETransformerInferer"
    ),
    "a detector": re.compile(r"RetinaNet\w*|FCOS|resnet_fpn_feature_extractor|FasterRCNN|MaskRCNN"),
    "a classifier": re.compile(
        r"(SE)?DenseNet\d*|Densenet\d*|densenet\d+|EfficientNet\w*|ResNet\d*|resnet\d+|SENet\d*|SEResNet\d*|SEResNext\d*|"
        r"ResNeXt\w*|Classifier|TorchVisionFCModel|ViT|MILModel|Regressor|DAF|NetAdapter"
    ),
}
_FORMATS = {
    "classes": "a classifier",
    "probabilities": "a classifier",
    "object": "a detector",
    "box": "a detector",
    "boxes": "a detector",
}
_NETWORKS = ("network_def", "network", "net", "detector", "generator", "autoencoder_def", "diffusion_def")


def require_3d_segmentation(name: str, metadata: Mapping[str, Any], config: Config | None) -> None:
    """Refuse a bundle that is not a 3D segmentation network.

    Args:
        name: Name of the bundle in errors.
        metadata: Its metadata.
        config: Its inference config; None if it has none.

    Raises:
        InvalidArgument: It generates images, classifies, detects or works in 2D.
    """
    reason = next(_reasons(metadata, config), None)
    if reason is not None:
        raise InvalidArgument(f"the bundle {name} is {reason}: expected a network that segments 3D images")


def _reasons(metadata: Mapping[str, Any], config: Config | None) -> Iterator[str]:
    network = config.data.get("network_def") if config else None
    for key in _NETWORKS:
        part = config.data.get(key) if config else None
        target = plain_name(part.get("_target_")).rpartition(".")[2] if isinstance(part, Mapping) else ""
        for kind, pattern in _KINDS.items():
            if target and pattern.fullmatch(target):
                yield f"{kind} ({target})"
    if config and (inferer := config.data.get("inferer")) and isinstance(inferer, Mapping):
        target = plain_name(inferer.get("_target_"))
        if "Diffusion" in target:
            yield f"a generator of images ({target})"
    if config and isinstance(network, Mapping):
        dims = config.get("network_def#spatial_dims")
        if isinstance(dims, int) and dims != 3:
            yield f"a {dims}D network"
    for side in ("outputs", "inputs"):
        for tensor in _tensors(metadata, side):
            shape = tensor.get("spatial_shape")
            dims = len(shape) if isinstance(shape, list) else None
            for field in ("type", "format") if dims != 3 else ():
                if side == "outputs" and (stated := _FORMATS.get(str(tensor.get(field)).lower())):
                    yield f"{stated} (its output is of {field} {tensor[field]})"
            if side == "inputs" and tensor.get("type") == "image" and dims == 2:
                yield "a 2D network"


def _tensors(metadata: Mapping[str, Any], side: str) -> Iterator[Mapping[str, Any]]:
    formats = metadata.get("network_data_format")
    tensors = formats.get(side) if isinstance(formats, Mapping) else None
    for tensor in tensors.values() if isinstance(tensors, Mapping) else ():
        if isinstance(tensor, Mapping):
            yield tensor
