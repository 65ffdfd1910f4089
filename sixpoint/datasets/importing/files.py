"""Folders of image files: images alone, images and labels side by side, the Decathlon's layout and nnU-Net v2's."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sixpoint.datasets.importing.source import Source, SourceCase, SourceLayout, stem, visible
from sixpoint.errors import DatasetError
from sixpoint.io import IMAGE_SUFFIXES

__all__ = ["is_image_name", "read_images", "read_json", "read_msd", "read_nnunet", "read_pairs"]

_FIRST = "_0000"
_IGNORED = "ignore"


def is_image_name(path: Path) -> bool:
    """Whether a name is that of an image file that is no DICOM."""
    return path.name.lower().endswith(IMAGE_SUFFIXES)


def read_images(folder: Path) -> Source:
    """List the images of a folder without labels."""
    cases, left_out = [], {}
    for path in visible(folder):
        if is_image_name(path):
            cases.append(SourceCase(stem(path), path))
        else:
            left_out[path.name] = f"it is no image; expected files ending in {', '.join(IMAGE_SUFFIXES)}"
    return Source(SourceLayout.IMAGES, tuple(cases), left_out=left_out)


def read_pairs(folder: Path) -> Source:
    """List the images of a folder ``images`` with their label maps of equal names in ``labels``.

    ``labels.json`` (``{"1": "liver"}``) may name the labels. An image without labels is a case, too.

    Raises:
        DatasetError: ``labels.json`` does not name labels.
    """
    cases, left_out = [], {}
    labels = {stem(path): path for path in visible(folder / "labels") if is_image_name(path)}
    for path in visible(folder / "images"):
        if not is_image_name(path):
            left_out[path.name] = "it is no image file"
            continue
        name = stem(path)
        # nnU-Net adds the number of the channel to the name of an image.
        found = name if name in labels else name.removesuffix(_FIRST)
        cases.append(SourceCase(found if found in labels else name, path, labels=labels.pop(found, None)))
    for path in labels.values():
        left_out[f"labels/{path.name}"] = "there is no image of this name"
    names = dict[int, str]()
    ignored = frozenset[int]()
    if (folder / "labels.json").is_file():
        names, ignored = _names(read_json(folder / "labels.json"), folder / "labels.json")
    return Source(SourceLayout.PAIRS, tuple(cases), names, ignored=ignored, left_out=left_out)


def read_msd(folder: Path) -> Source:
    """List the cases of a folder in the layout of the Medical Segmentation Decathlon, or of nnU-Net v1.

    Raises:
        DatasetError: ``dataset.json`` does not say where images and labels are.
    """
    path = folder / "dataset.json"
    data = read_json(path)
    names, ignored = _names(data.get("labels"), path)
    cases, left_out = [], {}
    tests = data.get("test")
    for entry in [*_listed(data, path), *({"image": image} for image in (tests if isinstance(tests, list) else []))]:
        image = _inside(folder, entry.get("image"), path)
        name = stem(image).removesuffix(_FIRST)
        if "label" in entry:
            labels = _inside(folder, entry["label"], path)
            name = stem(labels)
        else:
            # Not part of the layout, but folders that this project wrote have them.
            labels = folder / "labelsTs" / image.name.replace(f"{_FIRST}.", ".")
        if not image.is_file():
            # nnU-Net v1 lists images without their _0000.
            image = image.with_name(f"{stem(image)}{_FIRST}{image.name[len(stem(image)) :]}")
        if not image.is_file():
            left_out[name] = "its image is missing"
        elif "label" in entry and not labels.is_file():
            left_out[name] = "its label map is missing"
        elif reason := _second_channel(image):
            left_out[name] = reason
        else:
            cases.append(SourceCase(name, image, labels=labels if labels.is_file() else None))
    return Source(SourceLayout.MSD, tuple(cases), names, complete=True, ignored=ignored, left_out=left_out)


def read_nnunet(folder: Path) -> Source:
    """List the cases of a folder in the layout of nnU-Net v2; those of imagesTs as well.

    Raises:
        DatasetError: ``dataset.json`` does not say what the labels are called.
    """
    path = folder / "dataset.json"
    data = read_json(path)
    names, ignored = _names(data.get("labels"), path)
    ending = str(data.get("file_ending") or ".nii.gz")
    cases, left_out = [], {}
    for part in ("Tr", "Ts"):
        images, labels = folder / f"images{part}", folder / f"labels{part}"
        unpaired = {each.name for each in visible(labels)} if labels.is_dir() else set()
        unpaired = {each for each in unpaired if each.endswith(ending)}
        for image in visible(images) if images.is_dir() else []:
            if not image.name.endswith(_FIRST + ending):
                continue
            name = image.name.removesuffix(_FIRST + ending)
            label = labels / f"{name}{ending}"
            unpaired.discard(label.name)
            if reason := _second_channel(image):
                left_out[name] = reason
            elif part == "Tr" and not label.is_file():
                left_out[name] = "its label map is missing"
            else:
                cases.append(SourceCase(name, image, labels=label if label.is_file() else None))
        left_out |= {f"labels{part}/{label}": "there is no image of this name" for label in sorted(unpaired)}
    return Source(SourceLayout.NNUNET, tuple(cases), names, complete=True, ignored=ignored, left_out=left_out)


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON file that holds a mapping.

    Raises:
        DatasetError: It cannot be read, or holds something else.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise DatasetError(f"{path} cannot be read as JSON: {error}") from error
    if not isinstance(content, dict):
        raise DatasetError(f"{path} holds no mapping; expected one, such as {{...}}")
    return content


def _names(stated: object, path: Path) -> tuple[dict[int, str], frozenset[int]]:
    """The names of labels by number, whichever way round a file has them, and the numbers of voxels to ignore."""
    expected = 'expected {"0": "background", "1": "name"} or {"background": 0, "name": 1}'
    if not isinstance(stated, Mapping):
        raise DatasetError(f"{path} does not name its labels; {expected}")
    names: dict[int, str] = {}
    for key, value in stated.items():
        if isinstance(value, list):
            raise DatasetError(
                f"{path}: label {key!r} is a region of several numbers; expected a number for each label: name the "
                "numbers one by one"
            )
        number, name = (value, key) if isinstance(value, int) or not key.isdecimal() else (key, value)
        if isinstance(number, bool) or not str(number).isdecimal() or int(number) in names:
            raise DatasetError(f"{path}: labels have {key!r}: {value!r}; {expected}")
        names[int(number)] = str(name)
    names.pop(0, None)
    ignored = frozenset(number for number, name in names.items() if name.lower() == _IGNORED)
    return {number: name for number, name in names.items() if number not in ignored}, ignored


def _listed(data: Mapping[str, Any], path: Path) -> list[Mapping[str, Any]]:
    listed = data.get("training")
    if not isinstance(listed, list) or not all(isinstance(each, Mapping) and "label" in each for each in listed):
        raise DatasetError(f'{path}: "training" lists no pairs; expected [{{"image": "...", "label": "..."}}, ...]')
    return listed


def _inside(folder: Path, name: object, path: Path) -> Path:
    """A file of the folder that ``dataset.json`` names."""
    if not isinstance(name, str):
        raise DatasetError(f"{path} has {name!r} where the name of a file was expected")
    if not (folder / name).resolve().is_relative_to(folder.resolve()):
        raise DatasetError(f"{path} names a file outside of the folder; expected files within it")
    return folder / name


def _second_channel(image: Path) -> str:
    """Why an image of several channels is left out; empty for one of one channel."""
    if not stem(image).endswith(_FIRST):
        return ""
    suffix = image.name[len(stem(image)) :]
    second = image.with_name(f"{stem(image).removesuffix(_FIRST)}_0001{suffix}")
    return "its image has several channels, and images of one are supported" if second.is_file() else ""
