"""Datasets on the gateway, for asyncio."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sixpoint._typing import Array
from sixpoint.client._operations.images import ImageSource, load
from sixpoint.client._operations.upload import ProgressCallback
from sixpoint.client.dataset_models import AnnotationInfo, DatasetImage, DatasetInfo, DatasetLabel, NextImage
from sixpoint.client.datasets.async_reviews import AsyncReviews
from sixpoint.client.trace_models import ImageTrace, RemovedImage
from sixpoint.geometry import Geometry
from sixpoint.volume import Volume

__all__ = ["AsyncDatasets"]


class AsyncDatasets(AsyncReviews):
    """Datasets: images with labels, and the annotations that people saved. ``client.datasets`` is one.

    Args:
        driver: Makes the calls.
        operations: The operations of the client.
    """

    async def create(
        self,
        name: str,
        *,
        labels: Sequence[str | DatasetLabel] = (),
        validation_share: float = 0.0,
        test_share: float = 0.0,
    ) -> DatasetInfo:
        """Make a dataset.

        Args:
            name: Name, unique on the gateway.
            labels: Labels, or names of labels, which then get the numbers 1, 2, ...
            validation_share: Share of the patients that are held out for validation, 0 to 1.
            test_share: Share of the patients that are held out for the final test, 0 to 1.

        Raises:
            DatasetExists: There is one of this name.
            DatasetError: The name, a label or the shares cannot be used.
        """
        return await self._driver.run(
            self._operations.create(name, labels=labels, validation_share=validation_share, test_share=test_share)
        )

    async def get(self, name: str) -> DatasetInfo:
        """Describe a dataset.

        Raises:
            DatasetNotFound: There is none of this name.
        """
        return await self._driver.run(self._operations.get(name))

    async def all(self) -> list[DatasetInfo]:
        """List all datasets by name."""
        return await self._driver.run(self._operations.all())

    async def add_labels(self, name: str, labels: Sequence[str | DatasetLabel]) -> DatasetInfo:
        """Add labels to a dataset; those that it has stay as they are.

        Raises:
            DatasetNotFound: There is no such dataset.
            DatasetError: A label cannot be used, or its name or number is another one's.
        """
        return await self._driver.run(self._operations.add_labels(name, labels))

    async def add_image(
        self,
        name: str,
        image: ImageSource,
        *,
        case_name: str = "",
        patient: str = "",
        spacing: Sequence[float] | None = None,
        geometry: Geometry | None = None,
        progress: ProgressCallback | None = None,
    ) -> DatasetImage:
        """Upload an image unless the gateway has it, and add it to a dataset.

        Args:
            name: Name of the dataset.
            image: File, folder with one DICOM series, Volume, image of SimpleITK or nibabel, or array [z, y, x].
            case_name: Name of the case, which is not a patient's; by default the beginning of the image's digest.
            patient: What all images of the patient share, such as a number: they get one split. Only a keyed hash of it
                is stored. By default the name of the case.
            spacing: Spacing (x, y, z) in mm of an array, or of a file whose header lacks it.
            geometry: Geometry of an array.
            progress: Called with the bytes sent so far and the bytes in all, in a thread of gRPC's.

        Raises:
            DatasetNotFound: There is no such dataset.
            DatasetError: The name of the case cannot be used, or is another image's.
            VolumeError: The image is not a usable volume.
        """
        return await self._driver.run(
            self._operations.add_image(
                name,
                load(image, spacing=spacing, geometry=geometry),
                case_name=case_name,
                patient=patient,
                progress=progress,
            )
        )

    async def images(self, name: str, *, split: str = "") -> list[DatasetImage]:
        """List the images of a dataset by the name of their case.

        Args:
            name: Name of the dataset.
            split: Only those for "training", "validation" or "test".

        Raises:
            DatasetNotFound: There is no such dataset.
        """
        return await self._driver.run(self._operations.images(name, split=split))

    async def next_image(
        self,
        name: str,
        *,
        strategy: str = "first",
        keep_seconds: float = 0.0,
        split: str = "",
        readers: int = 1,
        peek: bool = False,
    ) -> NextImage | None:
        """Get an image to annotate, which others do not get for a while; while it is kept, the same again.

        Images without annotation are given, and those whose latest one is rejected. Saving an annotation ends it.

        Args:
            name: Name of the dataset.
            strategy: "first", "random", "label" (one that has the label of which the dataset has the fewest accepted
                masks, as its draft or rejected annotation says), "uncertain" (the one of which the model of the last
                segmentation job is least certain), "disagreement" (the one on which its draft and an annotation model
                differ most), or "different" (the one that differs most from those that people have annotated or keep,
                by intensities and by what that model found).
            keep_seconds: Seconds for which nobody else gets it, up to a day; 0 for an hour.
            split: Only images for "training", "validation" or "test".
            readers: Number of people who annotate each image, up to 20. With more than 1, an image is given until so
                many have saved an annotation of it that is not rejected, and nobody gets what they saved again.
            peek: Whether to say only which image would come after the one that is kept, and to keep nothing: so that it
                can be downloaded meanwhile. Somebody else may get it first.

        Returns:
            The image, and why it was chosen; None if there is none now.

        Raises:
            DatasetNotFound: There is no such dataset.
        """
        return await self._driver.run(
            self._operations.next_image(
                name, strategy=strategy, keep_seconds=keep_seconds, split=split, readers=readers, peek=peek
            )
        )

    async def skip_image(self, name: str, digest: str, *, reason: str = "") -> None:
        """Give an image of :meth:`next_image` back; this owner does not get it again.

        Raises:
            DatasetNotFound: There is no such dataset.
            DatasetError: The dataset does not have the image.
        """
        await self._driver.run(self._operations.skip_image(name, digest, reason=reason))

    async def save(
        self,
        name: str,
        session_id: str,
        *,
        absent: Sequence[str] = (),
        state: str = "submitted",
        revision: int | None = None,
    ) -> AnnotationInfo:
        """Save the segments of a session as an annotation: each is the label of its name.

        Saving again what the last annotation says returns that one.

        Args:
            name: Name of the dataset, which has the session's image.
            session_id: Id of the session.
            absent: Names of labels that the image has no voxel of.
            state: "submitted", or "draft".
            revision: Revision of the session that is meant; None for any.

        Raises:
            DatasetNotFound: There is no such dataset.
            DatasetError: The dataset lacks the image or a label, or a segment has no name.
            NothingToSave: No segment has a mask, and no label is absent.
            StaleRevision: The session is at another revision.
        """
        return await self._driver.run(
            self._operations.save(name, session_id, absent=absent, state=state, revision=revision)
        )

    async def add_masks(
        self, name: str, digest: str, masks: Mapping[str, Array], *, state: str = "submitted"
    ) -> AnnotationInfo:
        """Save masks that were made elsewhere as an annotation.

        Args:
            name: Name of the dataset.
            digest: SHA-256 of an image of the dataset.
            masks: Mask of each label, 0 and 1, [z, y, x] on the image's grid, by the name of the label. One without
                voxels says that the image has none of it.
            state: "submitted", or "draft".

        Raises:
            DatasetNotFound: There is no such dataset.
            DatasetError: The dataset lacks the image or a label, or a mask does not fit the image.
        """
        return await self._driver.run(self._operations.add_masks(name, digest, masks, state=state))

    async def trace(
        self, name: str, *, case_name: str = "", patient: str = "", whole_patient: bool = False
    ) -> list[ImageTrace]:
        """List what is kept of a case, of its patient (``whole_patient``), or of a patient as named to add_image.

        Raises:
            DatasetError: The dataset has no such image.
        """
        return await self._driver.run(
            self._operations.trace(name, case_name=case_name, patient=patient, whole_patient=whole_patient)
        )

    async def remove(
        self,
        name: str,
        *,
        case_name: str = "",
        patient: str = "",
        whole_patient: bool = False,
        end_sessions: bool = False,
    ) -> list[RemovedImage]:
        """Remove for good what :meth:`trace` lists: annotations, their sessions, voxels that nothing else uses.

        Args:
            name: Name of the dataset.
            case_name: Name of the case; either this or a patient.
            patient: What all images of the patient share, as it was given to add_image.
            whole_patient: Whether all images of the case's patient are meant.
            end_sessions: Whether to end all open sessions on the images, whoever works in them.

        Raises:
            DatasetError: The dataset has no such image.
        """
        return await self._driver.run(
            self._operations.remove(
                name,
                case_name=case_name,
                patient=patient,
                whole_patient=whole_patient,
                end_sessions=end_sessions,
            )
        )

    async def download(self, digest: str) -> Volume:
        """Read an image that the gateway has; its SHA-256 is checked.

        Raises:
            ImageNotFound: There is no such image.
            ChecksumMismatch: It arrived damaged.
        """
        return await self._driver.run(self._operations.download(digest))
