"""The calls of ``sixpoint.v1.DatasetService``."""

from __future__ import annotations

from collections.abc import AsyncIterator

from gateway.contract.dataset_messages import (
    annotation_to_message,
    dataset_to_message,
    image_to_message,
    read_labels,
    read_mask,
    read_split,
    read_state,
    read_strategy,
    removed_to_message,
    score_to_message,
    time_to_message,
    trace_to_message,
)
from gateway.core.access import Principal
from gateway.core.datasets import (
    Annotations,
    AnnotationSaver,
    Assignments,
    Datasets,
    ImageRemoval,
    NewImage,
    Subject,
)
from sixpoint.errors import InvalidArgument, Violation
from sixpoint.protocol import mask_to_message
from sixpoint.v1 import dataset_service_pb2 as dataset_pb

__all__ = ["DatasetCalls"]


class DatasetCalls:
    """The calls of ``sixpoint.v1.DatasetService``.

    Args:
        datasets: All datasets.
        annotations: All annotations.
        saver: Saves annotations.
        assignments: Gives images to annotators.
        removal: Traces and removes images.
    """

    def __init__(
        self,
        *,
        datasets: Datasets,
        annotations: Annotations,
        saver: AnnotationSaver,
        assignments: Assignments,
        removal: ImageRemoval,
    ) -> None:
        self._datasets = datasets
        self._annotations = annotations
        self._saver = saver
        self._assignments = assignments
        self._removal = removal

    async def create_dataset(
        self, request: dataset_pb.CreateDatasetRequest, principal: Principal
    ) -> dataset_pb.CreateDatasetResponse:
        """Make a dataset."""
        dataset = await self._datasets.create(
            request.name,
            labels=read_labels(request.labels),
            validation_share=request.validation_share,
            test_share=request.test_share,
            principal=principal,
        )
        return dataset_pb.CreateDatasetResponse(dataset=dataset_to_message(dataset))

    async def get_dataset(
        self, request: dataset_pb.GetDatasetRequest, principal: Principal
    ) -> dataset_pb.GetDatasetResponse:
        """Describe a dataset."""
        dataset = await self._datasets.get(request.name, principal=principal)
        return dataset_pb.GetDatasetResponse(dataset=dataset_to_message(dataset))

    async def list_datasets(
        self, request: dataset_pb.ListDatasetsRequest, principal: Principal
    ) -> dataset_pb.ListDatasetsResponse:
        """List the datasets of the tenant."""
        page = await self._datasets.page(principal=principal, size=request.page_size, token=request.page_token)
        return dataset_pb.ListDatasetsResponse(
            datasets=[dataset_to_message(dataset) for dataset in page.entries], next_page_token=page.next_token
        )

    async def add_labels(
        self, request: dataset_pb.AddLabelsRequest, principal: Principal
    ) -> dataset_pb.AddLabelsResponse:
        """Add labels to a dataset."""
        dataset = await self._datasets.add_labels(request.dataset, read_labels(request.labels), principal=principal)
        return dataset_pb.AddLabelsResponse(dataset=dataset_to_message(dataset))

    async def add_images(
        self, request: dataset_pb.AddImagesRequest, principal: Principal
    ) -> dataset_pb.AddImagesResponse:
        """Add images to a dataset."""
        images = [NewImage(image.image_digest, image.case_name, image.patient) for image in request.images]
        rows = await self._datasets.add_images(request.dataset, images, principal=principal)
        return dataset_pb.AddImagesResponse(images=[image_to_message(row) for row in rows])

    async def list_images(
        self, request: dataset_pb.ListDatasetImagesRequest, principal: Principal
    ) -> dataset_pb.ListDatasetImagesResponse:
        """List the images of a dataset."""
        page = await self._datasets.images(
            request.dataset,
            principal=principal,
            size=request.page_size,
            token=request.page_token,
            split=read_split(request.split),
        )
        return dataset_pb.ListDatasetImagesResponse(
            images=[image_to_message(row) for row in page.entries], next_page_token=page.next_token
        )

    async def next_image(
        self, request: dataset_pb.NextImageRequest, principal: Principal
    ) -> dataset_pb.NextImageResponse:
        """Give the caller an image to annotate."""
        following = await self._assignments.next(
            request.dataset,
            principal=principal,
            strategy=read_strategy(request.strategy),
            keep=request.keep_seconds,
            split=read_split(request.split),
            readers=request.readers or 1,
            peek=request.peek,
        )
        response = dataset_pb.NextImageResponse(waiting_count=following.waiting, reason=following.reason)
        if following.image is not None:
            response.image.CopyFrom(image_to_message(following.image))
            if not request.peek:
                response.keep_until.CopyFrom(time_to_message(following.until))
        if following.score is not None:
            response.score.CopyFrom(score_to_message(following.score))
        return response

    async def skip_image(
        self, request: dataset_pb.SkipImageRequest, principal: Principal
    ) -> dataset_pb.SkipImageResponse:
        """Give an image back."""
        await self._assignments.skip(request.dataset, request.image_digest, reason=request.reason, principal=principal)
        return dataset_pb.SkipImageResponse()

    async def save_annotation(
        self, request: dataset_pb.SaveAnnotationRequest, principal: Principal
    ) -> dataset_pb.SaveAnnotationResponse:
        """Save the segments of a session."""
        row = await self._saver.save(
            request.dataset,
            request.session_id,
            principal=principal,
            revision=request.revision if request.HasField("revision") else None,
            absent=request.absent_labels,
            state=read_state(request.state),
        )
        return dataset_pb.SaveAnnotationResponse(annotation=annotation_to_message(row))

    async def import_annotation(
        self, request: dataset_pb.ImportAnnotationRequest, principal: Principal
    ) -> dataset_pb.ImportAnnotationResponse:
        """Save masks that were made elsewhere."""
        row = await self._saver.add(
            request.dataset,
            request.image_digest,
            [(label.name, read_mask(label)) for label in request.labels],
            principal=principal,
            state=read_state(request.state),
        )
        return dataset_pb.ImportAnnotationResponse(annotation=annotation_to_message(row))

    async def list_annotations(
        self, request: dataset_pb.ListAnnotationsRequest, principal: Principal
    ) -> dataset_pb.ListAnnotationsResponse:
        """List the annotations of a dataset."""
        page = await self._annotations.page(
            request.dataset,
            principal=principal,
            digest=request.image_digest,
            state=read_state(request.state),
            size=request.page_size,
            token=request.page_token,
        )
        return dataset_pb.ListAnnotationsResponse(
            annotations=[annotation_to_message(row) for row in page.entries], next_page_token=page.next_token
        )

    async def get_annotation(
        self, request: dataset_pb.GetAnnotationRequest, principal: Principal
    ) -> AsyncIterator[dataset_pb.GetAnnotationResponse]:
        """Return an annotation, then its masks."""
        row = await self._annotations.get(request.id, principal=principal)
        yield dataset_pb.GetAnnotationResponse(annotation=annotation_to_message(row))
        if request.without_masks:
            return
        for mask in await self._annotations.masks(request.id, principal=principal):
            message = dataset_pb.LabelMask(name=mask.name, mask=mask_to_message(mask.mask))
            yield dataset_pb.GetAnnotationResponse(label=message)

    async def review_annotation(
        self, request: dataset_pb.ReviewAnnotationRequest, principal: Principal
    ) -> dataset_pb.ReviewAnnotationResponse:
        """Accept or reject an annotation."""
        state = read_state(request.state)
        if state is None:
            raise InvalidArgument(
                "the review has no state; expected SUBMITTED, ACCEPTED or REJECTED",
                violations=(Violation("state", "SUBMITTED, ACCEPTED or REJECTED"),),
            )
        row = await self._annotations.review(request.id, state, reason=request.reason, principal=principal)
        return dataset_pb.ReviewAnnotationResponse(annotation=annotation_to_message(row))

    async def adjudicate_annotations(
        self, request: dataset_pb.AdjudicateAnnotationsRequest, principal: Principal
    ) -> dataset_pb.AdjudicateAnnotationsResponse:
        """Decide between annotations of one image."""
        row = await self._annotations.adjudicate(
            request.id, request.among_ids, reason=request.reason, principal=principal
        )
        return dataset_pb.AdjudicateAnnotationsResponse(annotation=annotation_to_message(row))

    async def trace_images(
        self, request: dataset_pb.TraceImagesRequest, principal: Principal
    ) -> dataset_pb.TraceImagesResponse:
        """List what is kept of a case or a patient."""
        page = await self._removal.trace(
            request.dataset,
            Subject(request.case_name, request.patient, request.whole_patient),
            principal=principal,
            size=request.page_size,
            token=request.page_token,
        )
        return dataset_pb.TraceImagesResponse(
            traces=[trace_to_message(trace) for trace in page.entries],
            next_page_token=page.next_token,
            models_known=self._removal.models_known,
        )

    async def remove_images(
        self, request: dataset_pb.RemoveImagesRequest, principal: Principal
    ) -> dataset_pb.RemoveImagesResponse:
        """Remove a case or a patient from a dataset."""
        removed = await self._removal.remove(
            request.dataset,
            Subject(request.case_name, request.patient, request.whole_patient),
            principal=principal,
            end_sessions=request.end_sessions,
        )
        return dataset_pb.RemoveImagesResponse(
            removed=[removed_to_message(image) for image in removed.images], more=removed.more
        )
