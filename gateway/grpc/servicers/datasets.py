"""``sixpoint.v1.DatasetService``."""

from __future__ import annotations

from typing import Any

import grpc.aio

from gateway.contract import DatasetCalls
from gateway.core.runtime.fairness import Transfers
from gateway.grpc.identity import principal_of
from sixpoint.v1 import dataset_service_pb2 as dataset_pb
from sixpoint.v1 import dataset_service_pb2_grpc as dataset_grpc

__all__ = ["DatasetServicer"]

_Context = grpc.aio.ServicerContext[Any, Any]


class DatasetServicer(dataset_grpc.DatasetServiceServicer):
    """``sixpoint.v1.DatasetService``.

    Args:
        calls: Carries out the calls.
        transfers: Turns and pace of masks that are sent.
    """

    def __init__(self, calls: DatasetCalls, *, transfers: Transfers) -> None:
        self._calls = calls
        self._transfers = transfers

    async def CreateDataset(
        self, request: dataset_pb.CreateDatasetRequest, context: _Context
    ) -> dataset_pb.CreateDatasetResponse:
        """Make a dataset."""
        return await self._calls.create_dataset(request, principal_of(context))

    async def GetDataset(
        self, request: dataset_pb.GetDatasetRequest, context: _Context
    ) -> dataset_pb.GetDatasetResponse:
        """Describe a dataset."""
        return await self._calls.get_dataset(request, principal_of(context))

    async def ListDatasets(
        self, request: dataset_pb.ListDatasetsRequest, context: _Context
    ) -> dataset_pb.ListDatasetsResponse:
        """List the datasets of the tenant."""
        return await self._calls.list_datasets(request, principal_of(context))

    async def AddLabels(self, request: dataset_pb.AddLabelsRequest, context: _Context) -> dataset_pb.AddLabelsResponse:
        """Add labels to a dataset."""
        return await self._calls.add_labels(request, principal_of(context))

    async def AddImages(self, request: dataset_pb.AddImagesRequest, context: _Context) -> dataset_pb.AddImagesResponse:
        """Add images to a dataset."""
        return await self._calls.add_images(request, principal_of(context))

    async def ListDatasetImages(
        self, request: dataset_pb.ListDatasetImagesRequest, context: _Context
    ) -> dataset_pb.ListDatasetImagesResponse:
        """List the images of a dataset."""
        return await self._calls.list_images(request, principal_of(context))

    async def NextImage(self, request: dataset_pb.NextImageRequest, context: _Context) -> dataset_pb.NextImageResponse:
        """Give the caller an image to annotate."""
        return await self._calls.next_image(request, principal_of(context))

    async def SkipImage(self, request: dataset_pb.SkipImageRequest, context: _Context) -> dataset_pb.SkipImageResponse:
        """Give an image back."""
        return await self._calls.skip_image(request, principal_of(context))

    async def SaveAnnotation(
        self, request: dataset_pb.SaveAnnotationRequest, context: _Context
    ) -> dataset_pb.SaveAnnotationResponse:
        """Save the segments of a session."""
        return await self._calls.save_annotation(request, principal_of(context))

    async def ImportAnnotation(
        self, request: dataset_pb.ImportAnnotationRequest, context: _Context
    ) -> dataset_pb.ImportAnnotationResponse:
        """Save masks that were made elsewhere."""
        return await self._calls.import_annotation(request, principal_of(context))

    async def ListAnnotations(
        self, request: dataset_pb.ListAnnotationsRequest, context: _Context
    ) -> dataset_pb.ListAnnotationsResponse:
        """List the annotations of a dataset."""
        return await self._calls.list_annotations(request, principal_of(context))

    async def ReviewAnnotation(
        self, request: dataset_pb.ReviewAnnotationRequest, context: _Context
    ) -> dataset_pb.ReviewAnnotationResponse:
        """Accept or reject an annotation."""
        return await self._calls.review_annotation(request, principal_of(context))

    async def AdjudicateAnnotations(
        self, request: dataset_pb.AdjudicateAnnotationsRequest, context: _Context
    ) -> dataset_pb.AdjudicateAnnotationsResponse:
        """Decide between annotations of one image."""
        return await self._calls.adjudicate_annotations(request, principal_of(context))

    async def TraceImages(
        self, request: dataset_pb.TraceImagesRequest, context: _Context
    ) -> dataset_pb.TraceImagesResponse:
        """List what is kept of a case or a patient."""
        return await self._calls.trace_images(request, principal_of(context))

    async def RemoveImages(
        self, request: dataset_pb.RemoveImagesRequest, context: _Context
    ) -> dataset_pb.RemoveImagesResponse:
        """Remove a case or a patient from a dataset."""
        return await self._calls.remove_images(request, principal_of(context))

    async def GetAnnotation(  # type: ignore[override]  # parts are written to the context, not yielded
        self, request: dataset_pb.GetAnnotationRequest, context: _Context
    ) -> None:
        """Return an annotation, then its masks."""
        async for response in self._calls.get_annotation(request, principal_of(context)):
            nbytes = len(response.label.mask.bits)
            await self._transfers.keep_pace(nbytes)
            await self._transfers.take_turn(nbytes)
            await context.write(response)
