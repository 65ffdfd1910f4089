"""Layouts of datasets: which files are an image and its labels, and what the labels are called.

``dataset.json`` of the Medical Segmentation Decathlon and of nnU-Net v1 lists the pairs; nnU-Net v2's names labels and
channels, and the pairs are ``imagesTr/CASE_0000`` and ``labelsTr/CASE``. Folder pair: ``images/`` and ``labels/`` with
equal file names; ``labels.json`` (``{"1": "anterior"}``) may name the labels.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sixpoint.errors import DatasetError

__all__ = ["Case", "Dataset", "read_dataset_json", "read_folder_pair", "read_text"]

_MODALITIES = {"MRI": "MR", "PET": "PT"}
_CHANNELS = {"CT": "CT", "MR": "MR", "MRI": "MR", "PET": "PT", "PT": "PT", "US": "US"}
"""Modalities among nnU-Net v2's channel names (any text), by their upper-case form."""
_FIRST, _SECOND = "_0000", "_0001"
_IGNORED = "ignore"
_FLAT_ENDINGS = (".png", ".bmp", ".jpg", ".jpeg")


@dataclass(frozen=True)
class Case:
    """An image and its labels.

    Attributes:
        name: Name of the image file without suffix.
        image: Image file.
        label: Label file, with a whole number per voxel.
    """

    name: str
    image: Path
    label: Path


@dataclass(frozen=True)
class Dataset:
    """The cases of a folder.

    Attributes:
        name: Name in ``dataset.json``, or of the folder.
        cases: Cases, ordered by name.
        labels: Names of the labels by their number in the label files. Empty: every number is a label.
        modality: Modality in DICOM's terms (CT, MR, PT, US). Empty: unknown.
        licence: Licence of images and labels in ``dataset.json``. Empty: unknown.
    """

    name: str
    cases: tuple[Case, ...]
    labels: Mapping[int, str]
    modality: str = ""
    licence: str = ""


def read_dataset_json(folder: Path) -> Dataset:
    """List the cases of a folder with ``dataset.json``.

    Raises:
        DatasetError: A field has another form than expected; the error names it. Or an image has several channels.
    """
    path = folder / "dataset.json"
    data = _read_json(path)
    if not isinstance(data, Mapping):
        raise DatasetError(f"{path} holds a {type(data).__name__}, expected a mapping")
    _refuse_unsupported(data, path)
    labels = _labels(data, path)
    modality = _channel_modality(data, path) if "channel_names" in data else _modality(data, path)
    if "training" in data or "channel_names" not in data:
        pairs = _listed_pairs(data, folder, path)
    else:
        pairs = _nnunet_pairs(data, folder, path)
    stated = data.get("numTraining")
    if pairs and stated is not None and str(stated) != str(len(pairs)):
        raise DatasetError(
            f'{path}: "numTraining" is {json.dumps(stated)}, and {len(pairs)} cases are there: correct the number'
        )
    return Dataset(
        name=str(data.get("name") or folder.resolve().name),
        cases=tuple(Case(_case_name(image, label), image, label) for image, label in sorted(pairs)),
        labels=dict(sorted(labels.items())),
        modality=modality,
        licence=str(data.get("licence") or data.get("license") or ""),
    )


def _refuse_unsupported(data: Mapping[str, Any], path: Path) -> None:
    """Refuse overlapping regions and 2D images by their fields."""
    if data.get("regions_class_order"):
        raise DatasetError(
            f'{path}: "regions_class_order" is for regions that overlap, expected one label for each voxel: take it off'
        )
    if (ending := str(data.get("file_ending")).lower()) in _FLAT_ENDINGS:
        raise DatasetError(f'{path}: "file_ending" is "{ending}", for 2D images, expected 3D images, such as ".nii.gz"')


def _labels(data: Mapping[str, Any], path: Path) -> dict[int, str]:
    """Return the names of the labels by number, whichever way round ``labels`` has them."""
    expected = 'expected {"0": "background", "1": "name"} or {"background": 0, "name": 1}'
    stated = data.get("labels")
    if not isinstance(stated, Mapping):
        raise DatasetError(f'{path}: "labels" is {_kind(stated)}, {expected}')
    labels: dict[int, str] = {}
    for key, value in stated.items():
        # nnU-Net v2 has numbers as values, and names that may be digits, too: {"2": 1} is label 1.
        number, name = (value, key) if isinstance(value, int) or not key.isdecimal() else (key, value)
        if isinstance(number, bool) or not str(number).isdecimal():
            raise DatasetError(f'{path}: "labels" has {key!r}: {value!r}, {expected}')
        _refuse_ignored(number, name, f'{path}: "labels"')
        if int(number) in labels:
            raise DatasetError(f'{path}: "labels" names the number {number} twice')
        labels[int(number)] = str(name)
    labels.pop(0, None)
    if not labels:
        raise DatasetError(f"{path} names no label: expected at least one besides the background")
    return labels


def _refuse_ignored(number: object, name: object, where: str) -> None:
    """Refuse the label of the voxels that nnU-Net leaves out: it would be learned as a structure."""
    if str(name).lower() == _IGNORED:
        raise DatasetError(
            f"{where} has {number} for voxels to ignore, which is not supported: give these voxels a label or 0 in the "
            "label files, and take it off"
        )


def _listed_pairs(data: Mapping[str, Any], folder: Path, path: Path) -> list[tuple[Path, Path]]:
    expected = 'expected [{"image": "imagesTr/CASE.nii.gz", "label": "labelsTr/CASE.nii.gz"}, ...]'
    listed = data.get("training")
    if not isinstance(listed, list):
        raise DatasetError(f'{path}: "training" is {_kind(listed)}, {expected}')
    pairs = []
    for index, pair in enumerate(listed):
        for field in ("image", "label"):
            value = pair.get(field) if isinstance(pair, Mapping) else None
            if not isinstance(value, str):
                raise DatasetError(f'{path}: "training"[{index}] has {_kind(value)} as {field}, {expected}')
        pairs.append((_existing(folder / pair["image"]), folder / pair["label"]))
    return pairs


def _existing(image: Path) -> Path:
    """Return the file of an image that nnU-Net v1's list names without its ``_0000``."""
    single = image.with_name(f"{_stem(image)}{_FIRST}{_suffix(image)}")
    if image.is_file() or not single.is_file():
        return image
    _require_one_channel(single)
    return single


def _modality(data: Mapping[str, Any], path: Path) -> str:
    stated = data.get("modality", {})
    if not isinstance(stated, Mapping):
        raise DatasetError(f'{path}: "modality" is {_kind(stated)}, expected {{"0": "CT"}}')
    if len(stated) > 1:
        raise DatasetError(
            f'{path}: "modality" names {len(stated)} channels, and only images of one channel are supported'
        )
    names = [str(name) for name in stated.values()]
    return _MODALITIES.get(names[0], names[0]) if names else ""


def _nnunet_pairs(data: Mapping[str, Any], folder: Path, path: Path) -> list[tuple[Path, Path]]:
    ending = data.get("file_ending")
    if not isinstance(ending, str) or not ending.startswith("."):
        raise DatasetError(f'{path}: "file_ending" is {_kind(ending)}, expected a suffix such as ".nii.gz"')
    if "dataset" in data:
        raise DatasetError(
            f'{path}: "dataset" lists files that lie elsewhere, which is not supported: put them into imagesTr and '
            "labelsTr, and take it off"
        )
    images, labels = folder / "imagesTr", folder / "labelsTr"
    for part in (images, labels):
        if not part.is_dir():
            raise DatasetError(f"{path} has the layout of nnU-Net v2, and {part} does not exist")
    pairs = []
    for name in _visible_names(images):
        if name.endswith(_FIRST + ending):
            _require_one_channel(images / name)
            pairs.append((images / name, labels / f"{name.removesuffix(_FIRST + ending)}{ending}"))
    if not pairs:
        raise DatasetError(f'{path}: "file_ending" is "{ending}", and no file in imagesTr ends with {_FIRST}{ending}')
    labelled = {label.name for _, label in pairs}
    if unpaired := sorted(name for name in _visible_names(labels) - labelled if name.endswith(ending)):
        image = f"{unpaired[0].removesuffix(ending)}{_FIRST}{ending}"
        raise DatasetError(f"{labels / unpaired[0]} has no image: expected {images / image}")
    return pairs


def _channel_modality(data: Mapping[str, Any], path: Path) -> str:
    stated = data["channel_names"]
    if not isinstance(stated, Mapping):
        raise DatasetError(f'{path}: "channel_names" is {_kind(stated)}, expected {{"0": "CT"}}')
    if len(stated) > 1:
        raise DatasetError(
            f'{path}: "channel_names" has {len(stated)} channels, and only images of one channel are supported'
        )
    return _CHANNELS.get(str(next(iter(stated.values()), "")).upper(), "")


def _require_one_channel(image: Path) -> None:
    second = image.with_name(f"{_stem(image).removesuffix(_FIRST)}{_SECOND}{_suffix(image)}")
    if second.is_file():
        raise DatasetError(f"{second} is a second channel, and only images of one channel are supported")


def read_folder_pair(folder: Path) -> Dataset:
    """List the cases of a folder with the folders ``images`` and ``labels``.

    Raises:
        DatasetError: A folder is missing, a file has no partner, or ``labels.json`` does not name labels.
    """
    images, labels = folder / "images", folder / "labels"
    if not images.is_dir() or not labels.is_dir():
        raise DatasetError(f"{folder} is not a dataset: expected dataset.json, or the folders images and labels")
    names = {kind: _visible_names(kind) for kind in (images, labels)}
    of_label: dict[str, str] = {}
    for name in sorted(names[images]):
        # nnU-Net adds the number of the channel to the name of an image.
        label = name if name in names[labels] else _without_channel(name)
        if label in of_label:
            raise DatasetError(f"{images / of_label[label]} and {images / name} are images of the same labels")
        of_label[label] = name
    if unpaired := sorted(of_label.keys() - names[labels]):
        raise DatasetError(f"{images / of_label[unpaired[0]]} has no file of the same name in {labels.name}")
    if unpaired := sorted(names[labels] - of_label.keys()):
        raise DatasetError(f"{labels / unpaired[0]} has no file of the same name in {images.name}")
    label_names: dict[int, str] = {}
    if (folder / "labels.json").is_file():
        try:
            label_names = {int(number): str(name) for number, name in _read_json(folder / "labels.json").items()}
        except (ValueError, AttributeError) as error:
            raise DatasetError(f'{folder / "labels.json"} does not name labels: expected {{"1": "name"}}') from error
        label_names.pop(0, None)
        for number, name in label_names.items():
            _refuse_ignored(number, name, str(folder / "labels.json"))
    return Dataset(
        name=folder.resolve().name,
        cases=tuple(
            Case(_stem(labels / name), images / of_label[name], labels / name) for name in sorted(names[labels])
        ),
        labels=dict(sorted(label_names.items())),
    )


def _visible_names(folder: Path) -> set[str]:
    """List a folder without hidden files: macOS puts one beside every file, named as that file after ``._``."""
    return {path.name for path in folder.iterdir() if not path.name.startswith(".")}


def _stem(path: Path) -> str:
    return path.name.removesuffix(".gz").rpartition(".")[0] or path.name


def read_text(path: Path) -> str:
    """Read a text file in UTF-8, with or without a byte order mark.

    Raises:
        DatasetError: The file cannot be read.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"{path} cannot be read: {error}") from error


def _without_channel(name: str) -> str:
    return f"{_stem(Path(name)).removesuffix(_FIRST)}{_suffix(Path(name))}"


def _suffix(path: Path) -> str:
    return path.name.removeprefix(_stem(path))


def _case_name(image: Path, label: Path) -> str:
    """Return the name of a case: of its image, without the channel that nnU-Net adds to it."""
    stem = _stem(image)
    return stem.removesuffix(_FIRST) if stem != _stem(label) else stem


def _kind(value: object) -> str:
    """Describe a value of ``dataset.json`` by what it is."""
    names = {type(None): "missing", list: "a list", str: "a text", dict: "a mapping", bool: "true or false"}
    return names.get(type(value), "a number")


def _read_json(path: Path) -> Any:
    try:
        return json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise DatasetError(f"{path} is not JSON: {error}") from error
