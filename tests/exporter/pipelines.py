"""A bundle's own pipeline in MONAI, and sixpoint's reading of it, from a stored image to labels."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import numpy.typing as npt
import torch
from monai.bundle.config_parser import ConfigParser
from monai.data.utils import decollate_batch, list_data_collate
from scipy import ndimage

from exporter.graph.adapters import InputAdapter
from exporter.graph.network import ProbabilityNetwork
from exporter.sources.bundle.load import load_bundle
from exporter.sources.bundle.source import open_bundle
from exporter.sources.bundle.spec import DerivedSpec, read_bundle
from gateway.core.segmentation.foreground import foreground_box
from gateway.core.segmentation.label_map import LabelMap
from gateway.core.segmentation.sliding_window import SlidingWindow, importance_map
from sixpoint.model_spec import SegmentationSpec
from sixpoint.preprocessing import Roi, volume_channels
from sixpoint.volume import Volume

__all__ = ["derive", "dice", "monai_input", "monai_labels", "our_input", "our_labels", "parse_bundle", "write_image"]

Image = npt.NDArray[Any]


def write_image(
    path: Path,
    *,
    size: tuple[int, int, int] = (40, 36, 32),
    spacing: tuple[float, float, float] = (1.0, 1.0, 1.0),
    scale: float = 1.0,
    offset: float = 0.0,
    border: bool = False,
    mirrored: bool = False,
    seed: int = 0,
) -> Path:
    """Write a smooth image with two ellipsoids, -300 to 400 times ``scale`` plus ``offset``.

    With ``border`` it has an empty border; with ``mirrored`` its axes lead to the left, to the back and to the feet.
    """
    random = np.random.default_rng(seed)
    noise = ndimage.gaussian_filter(random.normal(size=size), 2)
    grid = np.stack(np.meshgrid(*[np.linspace(-1, 1, n) for n in size], indexing="ij"))
    values = noise / noise.std() * 60 - 80
    for centre, radii, step in (((0.2, -0.1, 0.1), (0.5, 0.45, 0.5), 150), ((-0.4, -0.3, -0.2), (0.25,) * 3, 220)):
        away = (grid - np.reshape(centre, (3, 1, 1, 1))) / np.reshape(radii, (3, 1, 1, 1))
        values += step * ((away**2).sum(axis=0) < 1)
    values = values * scale + offset
    if border:
        values[(np.abs(grid) > 0.8).any(axis=0)] = 0
    affine = np.diag([*spacing, 1.0])
    affine[:3, 3] = (-20, 13, 7)
    affine[:3, :3] *= -1 if mirrored else 1
    nibabel.save(nibabel.Nifti1Image(values.astype(np.float32), affine), path)
    return path


def parse_bundle(folder: Path) -> ConfigParser:
    """Read a bundle's config with MONAI."""
    parser = ConfigParser()
    parser.read_config(str(folder / "configs" / "inference.json"))
    return parser


def monai_input(folder: Path, image: Path, *, name: str = "preprocessing") -> Image:
    """Return what the network of a bundle sees in MONAI, [channel, its spatial axes]."""
    result = parse_bundle(folder).get_parsed_content(name)({"image": str(image)})["image"]
    return np.asarray(result)


def monai_labels(folder: Path, image: Path, network: torch.nn.Module, *, name: str = "preprocessing") -> Image:
    """Return the output of a bundle's own run in MONAI, [channel, x, y, z] of the stored image."""
    parser = parse_bundle(folder)
    before, inferer, after = (parser.get_parsed_content(part) for part in (name, "inferer", "postprocessing"))
    batch = list_data_collate([before({"image": str(image)})])
    with torch.inference_mode():
        batch["pred"] = inferer(batch["image"], network)
        (result,) = [after(single)["pred"] for single in decollate_batch(batch)]
    return np.asarray(result)


def derive(folder: Path, **overrides: Any) -> DerivedSpec:
    """Read a bundle."""
    with open_bundle(folder) as bundle:
        return read_bundle(bundle, overrides=overrides)


def our_input(folder: Path, image: Path, *, spec: SegmentationSpec | None = None) -> Image:
    """Return what the network of a bundle sees in sixpoint, [channel, its spatial axes]."""
    spec = spec or _segmentation(derive(folder))
    channels, _ = _channels(image, spec)
    box = foreground_box(channels[0], spec.patch.foreground)
    channels = channels if box is None else np.ascontiguousarray(channels[:, *box])
    return InputAdapter(spec)(torch.from_numpy(channels[None]))[0].numpy()


def our_labels(folder: Path, image: Path, scratch: Path) -> Image:
    """Return the labels that sixpoint gives an image: [x, y, z] as stored, or [label, x, y, z] if they may overlap."""
    source = load_bundle(folder, weights=None, overrides={}, ignore=(), folder=scratch)
    spec = source.spec
    assert isinstance(spec, SegmentationSpec)
    network = ProbabilityNetwork(source.network, spec).eval()
    channels, roi = _channels(image, spec)
    axes = spec.network.axes if spec.network else "SPL"
    box = foreground_box(channels[0], spec.patch.foreground)
    channels = channels if box is None else channels[:, *box]
    windows = SlidingWindow.over(channels.shape[1:], spec.patch, axes=axes)
    weight = importance_map(spec.patch)
    sums = np.zeros((spec.output_shape[0], *windows.padded_shape), np.float32)
    weights = np.zeros(windows.padded_shape, np.float32)
    with torch.inference_mode():
        for corner in windows:
            answer = network(torch.from_numpy(windows.extract(channels, corner, spec.patch))[None])[0].numpy()
            place = tuple(slice(start, start + edge) for start, edge in zip(corner, windows.patch, strict=True))
            sums[(slice(None), *place)] += answer.astype(np.float32) * weight
            weights[place] += weight
    inner = tuple(slice(a, a + n) for a, n in zip(windows.padding_before, windows.shape, strict=True))
    volume = Volume.read(image)
    label_map = LabelMap(roi, size=volume.geometry.canonical().size, spec=spec, box=box)
    label_map.add_slices(0, (sums / weights)[(slice(None), *inner)])
    masks = [label_map.mask(number) for number in range(1, len(spec.labels) + 1)]
    stored = [volume.geometry.orientation.from_canonical(mask).transpose(2, 1, 0) for mask in masks]
    if not spec.output.exclusive:
        return np.stack(stored)
    return np.asarray(sum(number * mask for number, mask in enumerate(stored, start=1)))


def dice(found: Image, expected: Image) -> float:
    """Dice of what is not 0."""
    a, b = found > 0, expected > 0
    return float(2 * (a & b).sum() / (a.sum() + b.sum()))


def edit_config(folder: Path, **changes: Any) -> None:
    """Change entries of a bundle's config; None removes one."""
    path = folder / "configs" / "inference.json"
    content = {**json.loads(path.read_text()), **changes}
    path.write_text(json.dumps({key: value for key, value in content.items() if value is not None}))


def _segmentation(derived: DerivedSpec) -> SegmentationSpec:
    assert isinstance(derived.spec, SegmentationSpec)
    return derived.spec


def _channels(image: Path, spec: SegmentationSpec) -> tuple[Image, Roi]:
    """Return the input tensor of a whole image, and its grid."""
    volume = Volume.read(image)
    geometry = volume.geometry.canonical()
    roi = Roi.for_segmentation(geometry.size, spacing=geometry.spacing, spec=spec)
    return volume_channels(volume.geometry.orientation.to_canonical(volume.array), roi, spec), roi
