"""MONAI Label app that serves sixpoint's annotation network, for ``benchmarks.peer``.

It runs in MONAI Label's own environment only; ``benchmarks/README.md`` says how. The chain is that of MONAI Label's
3D Deepgrow (``sample-apps/radiology/lib/infers/deepgrow.py``), its interactive model that crops: load, reorder axes,
crop round the points, resize, draw guidance, network, threshold, resize and paste back, write. Two things differ: the
whole volume is not resampled to 1 mm first, which spares MONAI Label time, and the guidance is that of our network.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from monai.apps.deepgrow.transforms import AddGuidanceFromPointsd, RestoreLabeld, SpatialCropGuidanced
from monai.inferers import Inferer, SimpleInferer
from monai.transforms import (
    Activationsd,
    AsChannelLastd,
    AsDiscreted,
    EnsureChannelFirstd,
    EnsureTyped,
    LoadImaged,
    Resized,
    ToNumpyd,
    Transform,
    Transposed,
)
from monailabel.interfaces.app import MONAILabelApp
from monailabel.interfaces.tasks.infer_v2 import InferTask, InferType
from monailabel.tasks.activelearning.random import Random
from monailabel.tasks.infer.basic_infer import BasicInferTask

from sixpoint.model_spec import SPEC_PARAMETER, ModelSpec
from sixpoint.preprocessing import PromptGuidance, network_input

EXTREMES = 6
"""Number of extreme points: the first foreground points of a request. The following ones are positive clicks."""


class DrawGuidance(Transform):
    """Transform of the cropped and resized image into the network's channels.

    Args:
        spec: Spec with the channels.
    """

    def __init__(self, spec: ModelSpec) -> None:
        self.spec = spec

    def __call__(self, data: dict[str, Any]) -> dict[str, Any]:
        """Replace ``image``, [1, z, x, y], by the channels, [channel, z, x, y]. MONAI Label uses this axis order."""
        cropped = np.array(data["image_meta_dict"]["foreground_cropped_shape"][1:])
        foreground, background = (
            # (z, x, y) to (x, y, z), and from voxels of the crop to the ROI's own frame, -1 to 1.
            ((np.array(points, float).reshape(-1, 3) + 0.5) / cropped * 2 - 1)[:, [1, 2, 0]]
            for points in data["guidance"]
        )
        extremes, positive = foreground[:EXTREMES], foreground[EXTREMES:]
        guidance = PromptGuidance(
            box=np.array([extremes.min(axis=0), extremes.max(axis=0)]),
            extremes=extremes,
            positive=positive,
            negative=background,
            # The crop never leaves the image.
            image_bounds=np.array([[-1.0] * 3, [1.0] * 3]),
        )
        image = np.asarray(data["image"], np.float32)[0].transpose(0, 2, 1)
        channels = network_input(image, guidance, self.spec.input).astype(np.float32)
        return {**data, "image": torch.from_numpy(channels.transpose(0, 1, 3, 2).copy())}


class FromPoints(BasicInferTask):
    """Task that outlines an object from six extreme points and clicks, the points of a request."""

    def __init__(self, path: str) -> None:
        extra = {SPEC_PARAMETER: ""}
        torch.jit.load(path, map_location="cpu", _extra_files=extra)
        self.spec = ModelSpec.from_json(extra[SPEC_PARAMETER])
        super().__init__(
            path=path,
            network=None,
            type=InferType.DEEPGROW,
            labels=list(self.spec.labels),
            dimension=3,
            description=self.spec.description,
        )

    def pre_transforms(self, data: dict[str, Any] | None = None) -> Sequence[Callable[..., Any]]:
        """Load, crop round the points, resize, draw guidance."""
        request = data or {}
        roi = self.spec.roi
        points = np.array(request["foreground"])[:EXTREMES, [2, 0, 1]]
        margin = np.ceil(roi.margin_fraction * (np.ptp(points, axis=0) + 1) + roi.margin_voxels).astype(int).tolist()
        x, y, z = roi.size
        return [
            LoadImaged(keys="image", reader="ITKReader", image_only=False),
            Transposed(keys="image", indices=[2, 0, 1]),
            AddGuidanceFromPointsd(ref_image="image", guidance="guidance", spatial_dims=3),
            EnsureChannelFirstd(keys="image", channel_dim="no_channel"),
            # No minimum size: the crop is the box of the points with its margin, as in sixpoint.
            SpatialCropGuidanced(keys="image", guidance="guidance", spatial_size=[1, 1, 1], margin=margin),
            Resized(keys="image", spatial_size=[z, x, y], mode="area"),
            DrawGuidance(self.spec),
            EnsureTyped(keys="image", device=request.get("device")),
        ]

    def inferer(self, data: dict[str, Any] | None = None) -> Inferer:  # noqa: ARG002 (MONAI Label's signature)
        """Run the network once, over the whole crop."""
        return SimpleInferer()

    def post_transforms(self, data: dict[str, Any] | None = None) -> Sequence[Callable[..., Any]]:
        """Threshold, and restore the image's grid."""
        return [
            EnsureTyped(keys="pred", device=(data or {}).get("device")),
            Activationsd(keys="pred", sigmoid=True),
            AsDiscreted(keys="pred", threshold=self.spec.output.threshold),
            ToNumpyd(keys="pred"),
            RestoreLabeld(keys="pred", ref_image="image", mode="nearest"),
            AsChannelLastd(keys="pred"),
        ]


class App(MONAILabelApp):
    """App with one model, ``annotation``, from the TorchScript file that ``--conf network FILE`` names."""

    def __init__(self, app_dir: str, studies: str, conf: dict[str, str]) -> None:
        self._network = conf["network"]
        super().__init__(app_dir=app_dir, studies=studies, conf=conf, name="sixpoint's network", version="1")

    def init_infers(self) -> dict[str, InferTask]:
        """Return the model."""
        return {"annotation": FromPoints(self._network)}

    def init_strategies(self) -> dict[str, Any]:
        """Return a strategy, since MONAI Label requires one."""
        return {"random": Random()}
