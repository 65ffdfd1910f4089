"""Import the cases of a folder or study into a gateway's dataset."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from sixpoint._typing import Bools
from sixpoint.client import AnnotationInfo, DatasetImage
from sixpoint.datasets.access import DatasetTarget
from sixpoint.datasets.importing.labels import LabelNaming, read_masks, read_numbers
from sixpoint.datasets.importing.source import Source, SourceCase
from sixpoint.errors import DatasetError, VolumeError
from sixpoint.errors.shortening import quoted
from sixpoint.mask import pack
from sixpoint.masks.digest import NumberedBox, masks_digest
from sixpoint.volume import Volume, check_voxels

__all__ = ["ImportOptions", "ImportResult", "ImportedCase", "import_dataset"]

_NAMED = 5
# What is wrong with one case; all else is wrong with the gateway, and ends the import.
_OF_ONE_CASE = (DatasetError, VolumeError)


@dataclass(frozen=True)
class ImportOptions:
    """How a source is imported.

    Attributes:
        naming: Names of labels, and which labels are left out.
        patient: Pattern of the part of a case's name that all cases of one patient share: its first group, or all that
            it matches; None: each case is a patient of its own.
        add_labels: Whether labels that the dataset lacks are added to it.
        accept: Whether the masks are accepted at once, which needs the role engineer.
        draft: Whether the masks are drafts.
        dry_run: Whether nothing is sent.
    """

    naming: LabelNaming = field(default_factory=lambda: LabelNaming({}))
    patient: re.Pattern[str] | None = None
    add_labels: bool = False
    accept: bool = False
    draft: bool = False
    dry_run: bool = False


@dataclass(frozen=True)
class ImportedCase:
    """A case of an import.

    Attributes:
        case_name: Name of the case in the dataset.
        is_new: Whether the dataset did not have the image, or not these masks.
        split: "training", "validation" or "test"; empty in a dry run for an image that the dataset lacks.
        voxel_counts: Number of voxels of each label by its name; 0 says that the image has none of it.
    """

    case_name: str
    is_new: bool
    split: str
    voxel_counts: Mapping[str, int]


@dataclass(frozen=True)
class ImportResult:
    """An import.

    Attributes:
        cases: Cases that the dataset has now, or would have after a dry run.
        left_out: Why an image or file was left out, by its name.
        new_labels: Names of the labels that were added to the dataset, or would be.
        labels_left: Labels of label maps that were not taken, since others are named: what files call them, by number.
    """

    cases: tuple[ImportedCase, ...]
    left_out: dict[str, str]
    new_labels: tuple[str, ...]
    labels_left: Mapping[int, str] = field(default_factory=dict)


def import_dataset(
    client: DatasetTarget,
    name: str,
    source: Source,
    options: ImportOptions | None = None,
    *,
    progress: Callable[[int, int], None] = lambda *_: None,
) -> ImportResult:
    """Add the images of a folder or study to a dataset, and save their masks as annotations.

    It may be repeated after it was interrupted: images and masks that the dataset has are not sent again. A case that
    cannot be imported is left out, and said so.

    Args:
        client: Client of the gateway, or what else writes to the dataset.
        name: Name of the dataset.
        source: What is imported.
        options: How it is imported.
        progress: Called with the number of steps so far and in all; each case has two, that of its labels and its own.

    Raises:
        DatasetNotFound: There is no such dataset.
        DatasetError: A label has no name, the dataset lacks a label, or it is not known which cases are one patient's.
    """
    return _Import(client, name, source, options or ImportOptions(), progress).run()


class _Import:
    """One import."""

    def __init__(
        self,
        client: DatasetTarget,
        name: str,
        source: Source,
        options: ImportOptions,
        progress: Callable[[int, int], None],
    ) -> None:
        self._client, self._name, self._source, self._options = client, name, source, options
        self._progress = progress
        self._left_out = dict(source.left_out)
        self._labels: dict[SourceCase, dict[int, str]] = {}
        self._labels_left: dict[int, str] = {}
        self._numbers: dict[str, int] = {}
        self._images: dict[str, DatasetImage] = {}
        self._digests: dict[str, str] = {}
        self._annotations: dict[str, dict[str, AnnotationInfo]] = {}

    def run(self) -> ImportResult:
        dataset = self._client.datasets.get(self._name)
        self._check_patients()
        self._read_labels()
        self._numbers = {label.name: label.number for label in dataset.labels}
        missing = self._missing_labels()
        if missing and not self._options.dry_run:
            added = self._client.datasets.add_labels(self._name, missing)
            self._numbers = {label.name: label.number for label in added.labels}
        self._images = {image.digest: image for image in self._client.datasets.images(self._name)}
        self._digests = {image.case_name: image.digest for image in self._images.values()}
        # The first is the latest.
        for each in reversed(self._client.datasets.annotations(self._name)):
            self._annotations.setdefault(each.image_digest, {})[each.digest] = each
        cases, total = [], 2 * len(self._source.cases)
        for number, case in enumerate(self._source.cases, total // 2 + 1):
            if case.shown_name not in self._left_out:
                try:
                    cases.append(self._import(case))
                except _OF_ONE_CASE as error:
                    self._left_out[case.shown_name] = error.message
                except ValueError as error:
                    self._left_out[case.shown_name] = f"its label map {error}"
            self._progress(number, total)
        return ImportResult(tuple(cases), self._left_out, tuple(missing), dict(sorted(self._labels_left.items())))

    def _check_patients(self) -> None:
        """Refuse images of one subject in several splits."""
        subjects = [case.subject for case in self._source.cases if case.subject]
        if self._options.patient is None and (several := {each for each in subjects if subjects.count(each) > 1}):
            raise DatasetError(
                f"{min(several)} and others have several images, which would be in different splits; say which part of "
                "a case's name is the patient's, such as --patient 'sub-[^_]+', or --patient '.*' if each image is a "
                "patient of its own"
            )

    def _read_labels(self) -> None:
        """Find the labels of each case, and ask for the names that are missing."""
        naming, unnamed = self._options.naming, dict[int, list[str]]()
        skipped = {*naming.left_out, *self._source.ignored}
        for number, case in enumerate(self._source.cases, 1):
            names: dict[int, str] = {}
            try:
                present = read_numbers(case.labels) if case.labels else {}
            except (VolumeError, ValueError) as error:
                text = error.message if isinstance(error, VolumeError) else f"its label map {error}"
                self._left_out[case.shown_name] = text
                present = {}
            for label in present.keys() - skipped:
                if not naming.takes(label):
                    self._labels_left[label] = present[label] or self._source.names.get(label, "")
                    continue
                names[label] = naming.name(label, present, self._source)
                if not names[label]:
                    unnamed.setdefault(label, []).append(case.shown_name)
            self._labels[case] = names
            named = [name for name in names.values() if name]
            if len(set(named)) < len(named):
                self._left_out[case.shown_name] = "two of its labels have one name; name them apart (--label)"
            self._progress(number, 2 * len(self._source.cases))
        if unnamed:
            listed = "; ".join(
                f"{label} (in {', '.join(cases[:2])})" for label, cases in sorted(unnamed.items())[:_NAMED]
            )
            more = f"; and {len(unnamed) - _NAMED} more" if len(unnamed) > _NAMED else ""
            raise DatasetError(
                f"labels have no name: {listed}{more}; name those to import (--label {min(unnamed)}=NAME; others are "
                f"left then), or leave out each that has none (--leave-out {min(unnamed)})"
            )

    def _label_names(self) -> list[str]:
        """The names of all labels of the source, by number where there is one."""
        naming, source = self._options.naming, self._source
        stated = {number: name for number, name in {**source.names, **naming.names}.items() if naming.takes(number)}
        used = {(number, name) for names in self._labels.values() for number, name in names.items()}
        if self._is_complete:
            used |= {(number, name) for number, name in stated.items() if number not in naming.left_out}
        return list(dict.fromkeys(name for _, name in sorted(used)))

    @property
    def _is_complete(self) -> bool:
        complete = self._options.naming.complete
        return self._source.complete if complete is None else complete

    def _missing_labels(self) -> list[str]:
        missing = [name for name in self._label_names() if name not in self._numbers]
        if missing and not self._options.add_labels:
            options = " ".join(f"-l {quoted(name)}" for name in missing[:_NAMED])
            raise DatasetError(
                f"the dataset lacks {len(missing)} labels of the source: {', '.join(map(quoted, missing[:_NAMED]))}; "
                f"add them (--add-labels, or sixpoint dataset labels NAME {options}), or call them otherwise (--label "
                "NUMBER=NAME)"
            )
        return missing

    def _import(self, case: SourceCase) -> ImportedCase:
        patient = self._patient(case)
        volume = Volume.read(case.image)
        check_voxels(volume.array)
        masks = self._masks(case, volume)
        counts = {label: int(np.count_nonzero(mask)) for label, mask in masks.items()}
        there = self._images.get(volume.digest)
        if there and case.name and there.case_name != case.name:
            raise DatasetError(f"the dataset has its image already, as {quoted(there.case_name)}")
        if self._digests.get(case.name, volume.digest) != volume.digest:
            raise DatasetError("the dataset has another image of this name; rename the file")
        saved = self._annotations.get(volume.digest, {}).get(self._digest(masks)) if masks else None
        is_new = there is None or (bool(masks) and saved is None)
        if self._options.dry_run:
            return ImportedCase(case.shown_name, is_new, there.split if there else "", counts)
        if there is None:
            there = self._client.datasets.add_image(self._name, volume, case_name=case.name, patient=patient)
            self._images[there.digest] = there
        if masks and saved is None:
            state = "draft" if self._options.draft else "submitted"
            saved = self._client.datasets.add_masks(self._name, there.digest, masks, state=state)
        if saved and self._options.accept and saved.state == "submitted":
            self._client.datasets.review(saved.id, "accepted")
        return ImportedCase(there.case_name, is_new, there.split, counts)

    def _patient(self, case: SourceCase) -> str:
        pattern = self._options.patient
        if pattern is None:
            return ""
        match = pattern.search(case.name)
        text = (match[1] if match.re.groups else match[0]) if match else ""
        if not text:
            raise DatasetError("its name does not match --patient, so it is not known whose image it is")
        return text

    def _masks(self, case: SourceCase, volume: Volume) -> dict[str, Bools]:
        if case.labels is None:
            return {}
        names = self._labels[case]
        masks = read_masks(case.labels, volume.geometry, names, ignored=self._source.ignored)
        if self._is_complete:
            nothing = np.zeros(volume.geometry.shape, np.bool_)
            masks = {name: masks.get(name, nothing) for name in self._label_names()}
        if not masks:
            raise DatasetError("its label map has no voxel of a label; if that is so, say --complete")
        return masks

    def _digest(self, masks: Mapping[str, Bools]) -> str:
        """The digest that the gateway gives to an annotation of these masks; empty if it does not know a label."""
        if not masks.keys() <= self._numbers.keys():
            return ""
        packed = {self._numbers[name]: pack(mask, (0, 0, 0)) for name, mask in masks.items()}
        return masks_digest(
            NumberedBox(number, packed[number].lower, packed[number].upper, packed[number].sha256)
            for number in sorted(packed)
        )
