"""The run of a DeepEdit-like bundle in MONAI, and sixpoint's reading of it, for clicks on a stored image."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from monai.apps.deepedit.transforms import AddGuidanceSignalDeepEditd, ResizeGuidanceMultipleLabelDeepEditd
from monai.data.meta_tensor import MetaTensor
from monai.transforms.compose import Compose
from monai.transforms.io.dictionary import LoadImaged
from monai.transforms.post.dictionary import Activationsd, Invertd
from monai.transforms.spatial.dictionary import Resized
from monai.transforms.utility.dictionary import EnsureChannelFirstd

from exporter.graph.adapters import InputAdapter
from exporter.graph.network import ProbabilityNetwork
from gateway.core.annotation.preprocess import prepare
from gateway.core.annotation.prompt_state import accumulate, place_prompts, start_without_extent
from gateway.core.images.reductions import Reductions
from sixpoint.model_spec import ModelSpec
from sixpoint.preprocessing import restore_mask
from sixpoint.prompts import Click
from sixpoint.volume import Volume
from tests.exporter.pipelines import Image, parse_bundle

__all__ = ["by_monai", "by_sixpoint"]

Clicks = Sequence[tuple[tuple[int, int, int], bool]]
"""Clicked voxels (x, y, z) as stored, and whether each is positive."""


def by_monai(folder: Path, image: Path, network: torch.nn.Module, clicks: Clicks) -> tuple[Image, Image]:
    """Return what the network of a bundle sees in MONAI, and its probabilities [x, y, z] on the image as stored.

    The transforms of the config are run from ``first`` on; the guidance is given in place of the bundle's own script.
    """
    parser = parse_bundle(folder)
    content = json.loads((folder / "configs" / "inference.json").read_text())
    resized = next(part for part in content["clicks"] if part["_target_"] == "Resized")
    loaded = Compose([LoadImaged("image"), EnsureChannelFirstd("image")])({"image": str(image)})
    stored = np.asarray(loaded["image"].affine)
    first = Compose(parser.get_parsed_content("first"))
    data = first(loaded)
    # MONAI keeps the shape as stored, and would scale clicks by it also where Orientation swaps axes.
    data["image"].meta["spatial_shape"] = np.array(data["image"].shape[1:])
    moved = np.linalg.inv(np.asarray(data["image"].affine)) @ stored
    places = [(np.rint(moved[:3, :3] @ voxel + moved[:3, 3]).astype(int).tolist(), sign) for voxel, sign in clicks]
    data["guidance"] = {
        "spleen": [place for place, sign in places if sign],
        "background": [place for place, sign in places if not sign],
    }
    resize = Resized("image", spatial_size=resized["spatial_size"], mode=resized["mode"])
    data = Compose(
        [
            resize,
            ResizeGuidanceMultipleLabelDeepEditd("guidance", "image"),
            *(parser.get_parsed_content("later") if "later" in content else []),
            AddGuidanceSignalDeepEditd("image", number_intensity_ch=1),
        ]
    )(data)
    seen = data["image"].numpy().copy()
    with torch.inference_mode():
        data["pred"] = MetaTensor(network(torch.from_numpy(seen)[None])[0])
    whole = Compose([*first.transforms, resize])
    invert = Invertd("pred", transform=whole, orig_keys="image", nearest_interp=False)
    return seen, np.asarray(Compose([Activationsd("pred", softmax=True), invert])(data)["pred"])[1]


def by_sixpoint(image: Path, network: torch.nn.Module, clicks: Clicks, spec: ModelSpec) -> tuple[Image, Image]:
    """Return what the network sees in sixpoint, and the voxels [x, y, z] of the image as stored that it marks.

    Probabilities are not rounded to bytes, and no click is enforced.
    """
    volume = Volume.read(image)
    canonical = volume.geometry.orientation.to_canonical(volume.array)
    prompts = [Click(voxel, positive=sign, frame="voxel") for voxel, sign in clicks]
    batch = place_prompts(prompts, geometry=volume.geometry)
    placed = accumulate(None, start_without_extent(batch, geometry=volume.geometry))
    prepared = prepare(Reductions(canonical), placed, geometry=volume.geometry, spec=spec)
    tensor = torch.from_numpy(prepared.tensor)[None]
    exact = spec.model_copy(update={"output": spec.output.model_copy(update={"dtype": "FP32"})})
    with torch.inference_mode():
        answer = ProbabilityNetwork(network, exact).eval()(tensor)[0, 0].numpy()
    size = volume.geometry.canonical().size
    piece, (x, y, z) = restore_mask(answer, prepared.roi, image_size=size, threshold=spec.output.threshold)
    mask = np.zeros(size[::-1], np.bool_)
    mask[z : z + piece.shape[0], y : y + piece.shape[1], x : x + piece.shape[2]] = piece
    return InputAdapter(spec)(tensor)[0].numpy(), volume.geometry.orientation.from_canonical(mask).transpose(2, 1, 0)
