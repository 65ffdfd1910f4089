"""Export a gateway's dataset as a folder that trainers read."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path, PurePosixPath

import numpy as np

from sixpoint._typing import Array
from sixpoint.client import AnnotationInfo, DatasetImage, DatasetInfo
from sixpoint.datasets.access import DatasetSource
from sixpoint.datasets.bids_layout import bids_paths, bids_texts
from sixpoint.datasets.dicom_layout import DicomSources, write_segmentation
from sixpoint.datasets.journal import ExportJournal
from sixpoint.datasets.layouts import Layout, dataset_json, image_path, label_path, splits_json
from sixpoint.datasets.manifest import Manifest, ManifestCase, file_sha256, json_bytes, write_manifest
from sixpoint.errors import DatasetError
from sixpoint.errors.shortening import quoted
from sixpoint.io.atomic_files import write_file
from sixpoint.mask_files.labels import write_labels
from sixpoint.segmentation import Segmentation
from sixpoint.volume import write_image

__all__ = ["ExportResult", "ExportedCase", "export_dataset"]

_SPLITS = ("training", "validation", "test")
_Paths = Mapping[str, tuple[PurePosixPath, PurePosixPath]]


@dataclass(frozen=True)
class ExportedCase:
    """A case of an export.

    Attributes:
        case_name: Name of the case.
        split: "training", "validation" or "test".
        annotation: Annotation whose masks were written.
    """

    case_name: str
    split: str
    annotation: AnnotationInfo


@dataclass(frozen=True)
class ExportResult:
    """An export.

    Attributes:
        folder: Folder that was written.
        cases: Cases that were written, by name.
        left_out: Why a case was left out, by its name.
    """

    folder: Path
    cases: tuple[ExportedCase, ...]
    left_out: dict[str, str]


def export_dataset(
    client: DatasetSource,
    name: str,
    folder: Path,
    *,
    modality: str,
    layout: Layout = Layout.NNUNET,
    labels: Sequence[str] = (),
    state: str = "accepted",
    sources: Sequence[str | os.PathLike[str]] = (),
    resume: bool = False,
    progress: Callable[[int, int], None] = lambda *_: None,
) -> ExportResult:
    """Write the images of a dataset, and the latest annotation of each, to a folder.

    A case is left out, and said so, if it has no annotation in this state, if the annotation does not say of each label
    where it is or that it is absent, or if labels overlap, which a label map cannot hold. A DICOM SEG can; there a case
    is left out if no source has the series of its image, if that lacks what a SEG must refer to, or if no label has a
    voxel.

    Args:
        client: Client of the gateway, or what else reads the dataset.
        name: Name of the dataset.
        folder: Folder to write; it must not be there, or be empty.
        modality: Modality of the images, such as "CT"; it is not known from the dataset, and nnU-Net normalises by it.
            For BIDS "CT", "PET", or the contrast of MR images, such as "T1w"; for DICOM SEG it does not count.
        layout: Layout of the folder.
        labels: Names of the labels to write, which get the numbers 1, 2, ...; empty for all of the dataset.
        state: State of the annotations.
        sources: For DICOM SEG, where the series of the images lie: folders, with their sub-folders, or
            ``dicomweb:URL#STUDY``.
        resume: Whether to go on with an export to this folder that was interrupted, and was begun like this. Cases that
            it has are not read again; DICOM SEG are written anew.
        progress: Called with the number of cases so far and in all.

    Raises:
        DatasetNotFound: There is no such dataset.
        DatasetError: The folder is not empty, a label is not the dataset's, BIDS has no suffix for the modality, no
            source is given for DICOM SEG, or no case can be written.
    """
    if not modality.strip() and layout is not Layout.DICOM_SEG:
        raise DatasetError(
            "the modality of the images is not known; say it, such as CT or MRI: trainers normalise by it"
        )
    journal = ExportJournal(folder) if resume else None
    is_begun = journal is not None and journal.is_there
    if folder.exists() and (not folder.is_dir() or (not is_begun and any(folder.iterdir()))):
        raise DatasetError(f"{folder} is not empty; export to a new folder")
    dataset = client.datasets.get(name)
    numbers = _numbers(dataset, labels)
    latest: dict[str, AnnotationInfo] = {}
    for each in client.datasets.annotations(name, state=state):
        latest.setdefault(each.image_digest, each)
    images = client.datasets.images(name)
    written: list[tuple[ExportedCase, ManifestCase]] = []
    left_out: dict[str, str] = {}
    paths: _Paths = {}
    if journal:
        journal.open(asdict(Manifest(name, layout.value, modality, numbers, state, [])))
    with ExitStack() as stack:
        write: Callable[[DatasetImage, AnnotationInfo, Segmentation], tuple[PurePosixPath, ...] | str]
        if layout is Layout.DICOM_SEG:
            codes = {label.name: label.snomed_code for label in dataset.labels}
            dicom = stack.enter_context(DicomSources(sources, images))
            write = partial(write_segmentation, dicom, folder, codes={name: codes[name] for name in numbers})
        else:
            paths = _paths(images, layout, modality)
            write = partial(_write_label_map, client, folder, paths=paths, numbers=numbers)
        for number, image in enumerate(images, 1):
            if (annotation := latest.get(image.digest)) is None:
                left_out[image.case_name] = f"it has no annotation that is {state}"
            elif reason := _missing(annotation, numbers):
                left_out[image.case_name] = reason
            elif journal and (case := journal.find(image, annotation, paths.get(image.case_name, ()))):
                written.append((ExportedCase(image.case_name, image.split, annotation), case))
            else:
                masks = client.datasets.masks(annotation.id)
                files = write(image, annotation, masks)
                if isinstance(files, str):
                    left_out[image.case_name] = files
                else:
                    written.append(_exported(image, annotation, folder, files))
                    if journal:
                        journal.add(written[-1][1])
            progress(number, len(images))
    if not left_out and not written:
        raise DatasetError(f"nothing of {quoted(name)} can be exported: it has no images; add images first")
    if not written:
        raise DatasetError(
            f"no case of {quoted(name)} can be exported; the first of {len(images)}: {next(iter(left_out.values()))}"
        )
    cases = tuple(case for case, _ in written)
    if journal:
        journal.close({file for _, case in written for file in case.files})
    if layout is Layout.BIDS:
        splits = {case.case_name: case.split for case in cases}
        for place, content in bids_texts(name, numbers, splits, paths).items():
            write_file(folder / place, content.encode() if isinstance(content, str) else json_bytes(content))
    elif layout is not Layout.DICOM_SEG:
        _write_texts(folder, name, cases, layout=layout, modality=modality, numbers=numbers)
    manifest = Manifest(name, layout.value, modality, numbers, state, [case for _, case in written])
    write_manifest(manifest, folder)
    return ExportResult(folder, cases, left_out)


def _paths(images: Sequence[DatasetImage], layout: Layout, modality: str) -> _Paths:
    """Where image and label map of each case are written."""
    if layout is Layout.BIDS:
        return bids_paths([image.case_name for image in images], modality)
    return {
        image.case_name: (
            image_path(layout, image.case_name, test=image.split == "test"),
            label_path(image.case_name, test=image.split == "test"),
        )
        for image in images
    }


def _numbers(dataset: DatasetInfo, labels: Sequence[str]) -> dict[str, int]:
    """The numbers of the labels in the label maps: 1, 2, ... without gaps, as nnU-Net asks for."""
    known = [label.name for label in dataset.labels]
    for label in labels:
        if label not in known:
            raise DatasetError(
                f"the dataset has no label {quoted(label)}; its labels are: {', '.join(map(quoted, known)) or 'none'}"
            )
    chosen = [label for label in known if not labels or label in labels]
    if not chosen:
        raise DatasetError("the dataset has no labels; add some before it is exported")
    return {label: number for number, label in enumerate(chosen, 1)}


def _missing(annotation: AnnotationInfo, numbers: dict[str, int]) -> str:
    unknown = [label for label in numbers if label not in annotation.labels]
    if not unknown:
        return ""
    return (
        f"its annotation does not say where {', '.join(map(quoted, unknown))} is, or that it is absent; what is not "
        "known would become background"
    )


def _overlap(masks: Segmentation, numbers: dict[str, int]) -> str:
    counted = sum(masks.found[label].packed.voxel_count for label in numbers)
    labels = _label_map(masks, numbers)
    return "" if int(np.count_nonzero(labels)) == counted else "its labels overlap, which a label map cannot hold"


def _label_map(masks: Segmentation, numbers: dict[str, int]) -> Array:
    result = np.zeros(masks.geometry.shape, np.uint8)
    for label, number in numbers.items():
        result[masks.mask(label).array.astype(bool)] = number
    return result


def _write_label_map(
    client: DatasetSource,
    folder: Path,
    image: DatasetImage,
    _: AnnotationInfo,
    masks: Segmentation,
    *,
    paths: _Paths,
    numbers: dict[str, int],
) -> tuple[PurePosixPath, ...] | str:
    """Write image and label map of a case; returns the files, or why there are none."""
    if reason := _overlap(masks, numbers):
        return reason
    image_name, label_name = paths[image.case_name]
    volume = client.datasets.download(image.digest)
    write_image(volume.array, volume.geometry, folder / image_name)
    names = {number: label for label, number in numbers.items()}
    write_labels(_label_map(masks, numbers), masks.geometry, folder / label_name, names=names, with_names=False)
    return image_name, label_name


def _exported(
    image: DatasetImage, annotation: AnnotationInfo, folder: Path, files: Sequence[PurePosixPath]
) -> tuple[ExportedCase, ManifestCase]:
    """Describe a case that was written."""
    manifest = ManifestCase(
        case_name=image.case_name,
        split=image.split,
        image_digest=image.digest,
        annotation_id=annotation.id,
        annotation_version=annotation.version,
        annotation_digest=annotation.digest,
        files={str(name): file_sha256(folder / name) for name in files},
    )
    return ExportedCase(image.case_name, image.split, annotation), manifest


def _write_texts(
    folder: Path,
    name: str,
    cases: Sequence[ExportedCase],
    *,
    layout: Layout,
    modality: str,
    numbers: dict[str, int],
) -> None:
    by_split = {split: [case.case_name for case in cases if case.split == split] for split in _SPLITS}
    listed = [*by_split["training"], *by_split["validation"]]
    described = dataset_json(
        layout, name=name, modality=modality, labels=numbers, cases=sorted(listed), tests=by_split["test"]
    )
    write_file(folder / "dataset.json", json_bytes(described))
    if layout is Layout.NNUNET and by_split["validation"]:
        splits = splits_json(by_split["training"], by_split["validation"])
        write_file(folder / "splits_final.json", json_bytes(splits))
