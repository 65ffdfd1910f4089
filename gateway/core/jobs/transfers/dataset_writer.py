"""A dataset of the gateway to which a thread imports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from gateway.core.datasets import AnnotationSaver, AnnotationState, NewImage
from gateway.core.datasets import DatasetLabel as StoredLabel
from gateway.core.images import ImageHeader, ImageStore
from gateway.core.jobs.blocking import BlockingDatasets, describe_annotation, describe_dataset, describe_image
from sixpoint._typing import Array
from sixpoint.client import AnnotationInfo, DatasetImage, DatasetInfo
from sixpoint.mask import pack
from sixpoint.volume import Volume, voxel_type_number

__all__ = ["WritableDatasets"]

_PIECE_BYTES = 2**20


@dataclass(frozen=True, kw_only=True)
class WritableDatasets(BlockingDatasets):
    """A :class:`sixpoint.datasets.DatasetWriter` for a thread.

    Attributes:
        stored_images: Stored images.
        saver: Saves annotations.
    """

    stored_images: ImageStore
    saver: AnnotationSaver

    def add_labels(self, name: str, labels: Sequence[str]) -> DatasetInfo:
        """Add labels with the next free numbers."""
        added = [StoredLabel(0, label) for label in labels]
        return describe_dataset(self.calls.run(self.stored.add_labels(name, added, principal=self.principal)))

    def add_image(self, name: str, image: Volume, *, case_name: str, patient: str) -> DatasetImage:
        """Store an image, and add it to a dataset."""
        digest = image.digest
        self.calls.run(self._store(image, digest))
        new = NewImage(digest, case_name, patient)
        (row,) = self.calls.run(self.stored.add_images(name, [new], principal=self.principal))
        return describe_image(row)

    def add_masks(self, name: str, digest: str, masks: Mapping[str, Array], *, state: str) -> AnnotationInfo:
        """Save masks [z, y, x] of an image."""
        packed = [(label, pack(np.asarray(mask, np.bool_), (0, 0, 0))) for label, mask in masks.items()]
        saved = self.saver.add(name, digest, packed, principal=self.principal, state=AnnotationState(state))
        return describe_annotation(self.calls.run(saved))

    def review(self, annotation_id: str, state: str) -> AnnotationInfo:
        """Accept or reject an annotation."""
        reviewed = self.saved.review(annotation_id, AnnotationState(state), principal=self.principal)
        return describe_annotation(self.calls.run(reviewed))

    async def _store(self, image: Volume, digest: str) -> None:
        header = ImageHeader(digest, image.geometry, voxel_type_number(image.array.dtype), image.array.nbytes)
        content = image.array.reshape(-1).view(np.uint8).data
        async with self.stored_images.upload(header, principal=self.principal) as upload:
            for start in range(0, len(content), _PIECE_BYTES):
                await upload.write(content[start : start + _PIECE_BYTES])
            await upload.finish()
