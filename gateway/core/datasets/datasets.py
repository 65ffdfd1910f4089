"""Datasets: make, describe and list them, and add labels and images."""

from __future__ import annotations

import secrets
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from gateway.core.access import NO_AUDIT, Action, AuditEntry, Auditor, Principal
from gateway.core.datasets.records import DatasetCounts, DatasetImageRow, DatasetLabel, DatasetRow, Split
from gateway.core.datasets.repository import DatasetReader, DatasetRepository, DatasetWriter
from gateway.core.datasets.splits import choose_split, hash_patient
from gateway.core.datasets.validation import add_labels, check_case_name, check_name, check_shares
from gateway.core.sessions.listing import check_page_size
from sixpoint.errors import DatasetError, DatasetExists, DatasetNotFound, ImageNotFound, ResourceExhausted, Violation
from sixpoint.errors.shortening import quoted

__all__ = ["Dataset", "Datasets", "NewImage", "Page", "require_dataset"]

_Entry = TypeVar("_Entry")

_MAX_DATASETS = 1000
_MAX_IMAGES = 100_000
_MAX_ADDED = 1000
# Characters of a digest that name a case which has no name: unique in any dataset, and no longer than one can read.
_DIGEST_NAME = 12


@dataclass(frozen=True)
class Dataset:
    """A dataset and what it has.

    Attributes:
        row: Record of the dataset.
        counts: What it has.
    """

    row: DatasetRow
    counts: DatasetCounts


@dataclass(frozen=True)
class Page(Generic[_Entry]):
    """A page of a list.

    Attributes:
        entries: The entries.
        next_token: Token of the next page; empty on the last page.
    """

    entries: tuple[_Entry, ...]
    next_token: str


@dataclass(frozen=True)
class NewImage:
    """An image to add.

    Attributes:
        digest: SHA-256 of the image.
        case_name: Name of the case; empty for one made of the digest.
        patient: What all images of one patient share; empty for the case's name.
    """

    digest: str
    case_name: str = ""
    patient: str = ""


class Datasets:
    """All datasets of a gateway.

    Args:
        repository: Transactions of datasets.
        auditor: Takes notes of datasets that are read.
        now: Clock, in seconds since 1970.
    """

    def __init__(
        self,
        *,
        repository: DatasetRepository,
        auditor: Auditor = NO_AUDIT,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._repository = repository
        self._auditor = auditor
        self._now = now

    async def create(
        self,
        name: str,
        *,
        labels: Sequence[DatasetLabel],
        validation_share: float,
        test_share: float,
        principal: Principal,
    ) -> Dataset:
        """Make a dataset.

        Raises:
            DatasetError: The name, a label or the shares cannot be used.
            DatasetExists: There is one of this name.
            ResourceExhausted: There are too many datasets.
        """
        check_name(name, field="name")
        check_shares(validation_share, test_share)
        row = DatasetRow(
            id=secrets.token_hex(16),
            tenant=principal.tenant,
            name=name,
            owner=principal.subject,
            created=self._now(),
            labels=add_labels((), labels),
            validation_share=validation_share,
            test_share=test_share,
            salt=secrets.token_hex(16),
        )

        def work(records: DatasetWriter) -> None:
            if records.lock_dataset(name) is not None:
                raise DatasetExists(
                    f"there is a dataset {quoted(name)} already; choose another name, or add labels and images to it"
                )
            if records.count_datasets() >= _MAX_DATASETS:
                raise ResourceExhausted(f"there are {_MAX_DATASETS} datasets, which is the limit")
            records.insert_dataset(row)
            records.audit(AuditEntry(principal, Action.CHANGE_DATASET, row.id))

        await self._repository.write(work, tenant=principal.tenant)
        return Dataset(row, DatasetCounts())

    async def get(self, name: str, *, principal: Principal) -> Dataset:
        """Return a dataset.

        Raises:
            DatasetNotFound: There is none of this name.
        """
        dataset = await self._repository.read(
            lambda records: _with_counts(records, [require_dataset(records.dataset(name), name)])[0],
            tenant=principal.tenant,
        )
        self._auditor.note(AuditEntry(principal, Action.READ_DATASET, dataset.row.id))
        return dataset

    async def page(self, *, principal: Principal, size: int = 0, token: str = "") -> Page[Dataset]:
        """List datasets by name.

        Raises:
            InvalidArgument: The size is out of range.
        """
        limit = check_page_size(size)

        def work(records: DatasetReader) -> Page[Dataset]:
            rows = records.datasets(after=token, limit=limit + 1)
            more = rows[limit - 1].name if len(rows) > limit else ""
            return Page(tuple(_with_counts(records, rows[:limit])), more)

        return await self._repository.read(work, tenant=principal.tenant)

    async def add_labels(self, name: str, labels: Sequence[DatasetLabel], *, principal: Principal) -> Dataset:
        """Add labels to a dataset.

        Raises:
            DatasetNotFound: There is none of this name.
            DatasetError: A label cannot be used, or its name or number is another one's.
        """

        def work(records: DatasetWriter) -> Dataset:
            row = require_dataset(records.lock_dataset(name), name)
            row = replace(row, labels=add_labels(row.labels, labels))
            records.set_labels(row.id, row.labels)
            records.audit(AuditEntry(principal, Action.CHANGE_DATASET, row.id))
            return _with_counts(records, [row])[0]

        return await self._repository.write(work, tenant=principal.tenant)

    async def add_images(
        self, name: str, images: Sequence[NewImage], *, principal: Principal
    ) -> tuple[DatasetImageRow, ...]:
        """Add images to a dataset, all or none; those that it has stay as they are.

        Raises:
            DatasetNotFound: There is no dataset of this name.
            DatasetError: The name of a case cannot be used, or is another image's.
            ImageNotFound: An image was not uploaded.
            ResourceExhausted: The dataset has too many images.
        """
        if not 0 < len(images) <= _MAX_ADDED:
            raise DatasetError(
                f"{len(images)} images in one call; expected 1 to {_MAX_ADDED}",
                violations=(Violation("images", f"1 to {_MAX_ADDED}"),),
            )
        for image in images:
            if image.case_name:
                check_case_name(image.case_name)

        def work(records: DatasetWriter) -> tuple[DatasetImageRow, ...]:
            row = require_dataset(records.lock_dataset(name), name)
            digests = [image.digest for image in images]
            known = records.images_of(row.id, digests)
            new = self._new_images(records, row, [image for image in images if image.digest not in known])
            if new and records.counts([row.id])[row.id].images + len(new) > _MAX_IMAGES:
                raise ResourceExhausted(f"the dataset would have more than {_MAX_IMAGES} images, which is the limit")
            records.insert_images(new)
            records.audit(AuditEntry(principal, Action.CHANGE_DATASET, row.id))
            stored = records.images_of(row.id, digests)
            return tuple(stored[digest] for digest in digests)

        return await self._repository.write(work, tenant=principal.tenant)

    async def images(
        self, name: str, *, principal: Principal, size: int = 0, token: str = "", split: Split | None = None
    ) -> Page[DatasetImageRow]:
        """List the images of a dataset by the name of their case.

        Raises:
            DatasetNotFound: There is none of this name.
            InvalidArgument: The size is out of range.
        """
        limit = check_page_size(size)

        def work(records: DatasetReader) -> tuple[str, list[DatasetImageRow]]:
            row = require_dataset(records.dataset(name), name)
            return row.id, records.images(row.id, after=token, limit=limit + 1, split=split)

        dataset_id, rows = await self._repository.read(work, tenant=principal.tenant)
        self._auditor.note(AuditEntry(principal, Action.READ_DATASET, dataset_id))
        return Page(tuple(rows[:limit]), rows[limit - 1].case_name if len(rows) > limit else "")

    def _new_images(
        self, records: DatasetWriter, dataset: DatasetRow, images: Sequence[NewImage]
    ) -> list[DatasetImageRow]:
        """Check images that a dataset does not have yet, and make their records."""
        named = {image.digest: image.case_name or image.digest[:_DIGEST_NAME] for image in images}
        records.lock_images(named)
        if len(records.stored_images(named)) < len(named):
            raise ImageNotFound("an image of the call is not on the gateway; upload it first")
        counted = Counter(named.values())
        taken = records.taken_cases(dataset.id, counted) | {case for case, count in counted.items() if count > 1}
        if taken:
            raise DatasetError(
                f"the case {quoted(min(taken))} would have two images; give each image a case of its own, and images "
                "of one patient the same patient",
                violations=(Violation("images", "a case_name of its own"),),
            )
        new: dict[str, DatasetImageRow] = {}
        for image in images:
            patient = hash_patient(image.patient or named[image.digest], salt=dataset.salt)
            split = choose_split(patient, validation_share=dataset.validation_share, test_share=dataset.test_share)
            new[image.digest] = DatasetImageRow(
                dataset.id, image.digest, named[image.digest], patient, split, self._now()
            )
        return list(new.values())


def require_dataset(row: DatasetRow | None, name: str) -> DatasetRow:
    """Return the dataset, if there is one.

    Raises:
        DatasetNotFound: There is none.
    """
    if row is None:
        raise DatasetNotFound(f"there is no dataset {quoted(name)}; list them, or make it first")
    return row


def _with_counts(records: DatasetReader, rows: Sequence[DatasetRow]) -> list[Dataset]:
    counts = records.counts([row.id for row in rows])
    return [Dataset(row, counts[row.id]) for row in rows]
