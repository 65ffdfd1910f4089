"""What exports read, and imports write: datasets of a gateway, by a client of it or within it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from sixpoint._typing import Array
from sixpoint.client import AnnotationInfo, DatasetImage, DatasetInfo
from sixpoint.segmentation import Segmentation
from sixpoint.volume import Volume

__all__ = ["DatasetReader", "DatasetSource", "DatasetTarget", "DatasetWriter"]


class DatasetReader(Protocol):
    """What is read of a dataset; the datasets of a :class:`sixpoint.client.Client` are one."""

    def get(self, name: str) -> DatasetInfo:
        """Describe a dataset."""
        ...

    def images(self, name: str) -> list[DatasetImage]:
        """List the images by the name of their case."""
        ...

    def annotations(self, name: str, *, state: str) -> list[AnnotationInfo]:
        """List the annotations in a state, the latest first."""
        ...

    def masks(self, annotation_id: str) -> Segmentation:
        """Read the masks of an annotation."""
        ...

    def download(self, digest: str) -> Volume:
        """Read an image."""
        ...


class DatasetSource(Protocol):
    """Where a dataset is exported from, such as a :class:`sixpoint.client.Client`."""

    @property
    def datasets(self) -> DatasetReader:
        """Reads datasets."""
        ...


class DatasetWriter(Protocol):
    """What an import reads and writes of a dataset; the datasets of a :class:`sixpoint.client.Client` are one."""

    def get(self, name: str) -> DatasetInfo:
        """Describe a dataset."""
        ...

    def images(self, name: str) -> list[DatasetImage]:
        """List the images by the name of their case."""
        ...

    def annotations(self, name: str) -> list[AnnotationInfo]:
        """List the annotations, the latest first."""
        ...

    def add_labels(self, name: str, labels: Sequence[str]) -> DatasetInfo:
        """Add labels."""
        ...

    def add_image(self, name: str, image: Volume, *, case_name: str, patient: str) -> DatasetImage:
        """Store an image, and add it to a dataset."""
        ...

    def add_masks(self, name: str, digest: str, masks: Mapping[str, Array], *, state: str) -> AnnotationInfo:
        """Save masks [z, y, x] of an image."""
        ...

    def review(self, annotation_id: str, state: str) -> AnnotationInfo:
        """Accept an annotation."""
        ...


class DatasetTarget(Protocol):
    """Where a dataset is imported to, such as a :class:`sixpoint.client.Client`."""

    @property
    def datasets(self) -> DatasetWriter:
        """Reads and writes datasets."""
        ...
