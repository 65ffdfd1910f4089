"""Annotations of datasets on the gateway: listed, read and reviewed, for asyncio."""

from __future__ import annotations

from collections.abc import Sequence

from sixpoint.client._operations.client import ClientOperations
from sixpoint.client._operations.datasets import DatasetOperations
from sixpoint.client._transport.driver import AsyncDriver
from sixpoint.client.dataset_models import AnnotationInfo
from sixpoint.segmentation import Segmentation

__all__ = ["AsyncReviews"]


class AsyncReviews:
    """The part of :class:`AsyncDatasets` for annotations that are saved already.

    Args:
        driver: Makes the calls.
        operations: The operations of the client.
    """

    def __init__(self, driver: AsyncDriver, operations: ClientOperations) -> None:
        self._driver = driver
        self._operations = DatasetOperations(operations)

    async def annotations(self, name: str, *, digest: str = "", state: str = "") -> list[AnnotationInfo]:
        """List annotations of a dataset, the latest first.

        Args:
            name: Name of the dataset.
            digest: Only those of this image.
            state: Only those in this state: "draft", "submitted", "accepted" or "rejected".

        Raises:
            DatasetNotFound: There is no such dataset.
        """
        return await self._driver.run(self._operations.annotations(name, digest=digest, state=state))

    async def annotation(self, annotation_id: str) -> AnnotationInfo:
        """Describe an annotation.

        Raises:
            AnnotationNotFound: There is none of this id.
        """
        return await self._driver.run(self._operations.annotation(annotation_id))

    async def masks(self, annotation_id: str) -> Segmentation:
        """Read the masks of an annotation.

        Raises:
            AnnotationNotFound: There is none of this id.
        """
        return await self._driver.run(self._operations.masks(annotation_id))

    async def review(self, annotation_id: str, state: str, *, reason: str = "") -> AnnotationInfo:
        """Accept or reject an annotation, or take that back.

        Args:
            annotation_id: Id of the annotation.
            state: "accepted", "rejected", or "submitted" to take it back.
            reason: Reason, which a rejection needs.

        Raises:
            AnnotationNotFound: There is none of this id.
            InvalidArgument: The state is none of a review, or a rejection has no reason.
        """
        return await self._driver.run(self._operations.review(annotation_id, state, reason=reason))

    async def adjudicate(self, annotation_id: str, *, among: Sequence[str], reason: str = "") -> AnnotationInfo:
        """Decide between annotations of one image: accept one, and reject the others as "adjudicated", all or nothing.

        Args:
            annotation_id: Id of the annotation that decides: one of those, or another one of the image.
            among: Ids of the annotations that disagree, submitted or accepted.
            reason: Reason of the decision; may be left out.

        Returns:
            The annotation that decides.

        Raises:
            AnnotationNotFound: There is none of an id.
            InvalidArgument: There are fewer than two ids, or they are of different images.
            FailedPrecondition: One of them is not submitted or accepted any more.
        """
        return await self._driver.run(self._operations.adjudicate(annotation_id, among=among, reason=reason))
