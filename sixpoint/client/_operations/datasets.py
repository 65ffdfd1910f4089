"""The operations on datasets: make them, add images, save sessions, review, and read back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from sixpoint._typing import Array
from sixpoint.client._operations.client import ClientOperations
from sixpoint.client._operations.dataset_numbers import split_number, state_number, strategy_number
from sixpoint.client._operations.upload import ProgressCallback
from sixpoint.client._sansio import Call, Operation, ServerStreamingCall, Work
from sixpoint.client.dataset_models import (
    AnnotationInfo,
    DatasetImage,
    DatasetInfo,
    DatasetLabel,
    NextImage,
    read_annotation,
    read_dataset,
    read_dataset_image,
    read_next_image,
)
from sixpoint.client.trace_models import ImageTrace, RemovedImage, read_removed, read_trace
from sixpoint.errors import ChecksumMismatch, InternalError, InvalidArgument
from sixpoint.mask import PackedMask, pack
from sixpoint.protocol import geometry_from_message, mask_from_message, mask_to_message
from sixpoint.segmentation import LabelledMask, Segmentation
from sixpoint.v1 import dataset_service_pb2 as dataset_pb
from sixpoint.v1 import image_service_pb2 as image_pb
from sixpoint.volume import VOXEL_TYPES, Volume

__all__ = ["DatasetOperations"]

_PAGE_SIZE = 1000


@dataclass(frozen=True)
class DatasetOperations:
    """The operations on datasets, the same for both drivers.

    Attributes:
        client: The operations of the client.
    """

    client: ClientOperations

    def create(
        self, name: str, *, labels: Sequence[str | DatasetLabel], validation_share: float, test_share: float
    ) -> Operation[DatasetInfo]:
        """Make a dataset. It is not repeated: the second time it would be there already."""
        request = dataset_pb.CreateDatasetRequest(
            name=name, labels=_labels(labels), validation_share=validation_share, test_share=test_share
        )
        stub, timeout = self.client.stubs.datasets, self.client.timeout.call
        response = yield from Call(stub.CreateDataset, request, timeout, repeatable=False)
        return read_dataset(response.dataset)

    def get(self, name: str) -> Operation[DatasetInfo]:
        """Describe a dataset."""
        request = dataset_pb.GetDatasetRequest(name=name)
        response = yield from Call(self.client.stubs.datasets.GetDataset, request, self.client.timeout.call)
        return read_dataset(response.dataset)

    def all(self) -> Operation[list[DatasetInfo]]:
        """List all datasets by name."""
        found: list[DatasetInfo] = []
        request = dataset_pb.ListDatasetsRequest(page_size=_PAGE_SIZE)
        while True:
            response = yield from Call(self.client.stubs.datasets.ListDatasets, request, self.client.timeout.call)
            found += map(read_dataset, response.datasets)
            if not response.next_page_token:
                return found
            request = dataset_pb.ListDatasetsRequest(page_size=_PAGE_SIZE, page_token=response.next_page_token)

    def add_labels(self, name: str, labels: Sequence[str | DatasetLabel]) -> Operation[DatasetInfo]:
        """Add labels to a dataset."""
        request = dataset_pb.AddLabelsRequest(dataset=name, labels=_labels(labels))
        response = yield from Call(self.client.stubs.datasets.AddLabels, request, self.client.timeout.call)
        return read_dataset(response.dataset)

    def add_image(
        self, name: str, image: Work[Volume], *, case_name: str, patient: str, progress: ProgressCallback | None
    ) -> Operation[DatasetImage]:
        """Upload an image unless the gateway has it, and add it to a dataset."""
        digest = yield from self.client.upload(image, progress)
        new = dataset_pb.NewDatasetImage(image_digest=digest, case_name=case_name, patient=patient)
        request = dataset_pb.AddImagesRequest(dataset=name, images=[new])
        response = yield from Call(self.client.stubs.datasets.AddImages, request, self.client.timeout.call)
        return read_dataset_image(response.images[0])

    def images(self, name: str, *, split: str) -> Operation[list[DatasetImage]]:
        """List the images of a dataset by the name of their case."""
        found: list[DatasetImage] = []
        token = ""
        while True:
            request = dataset_pb.ListDatasetImagesRequest(
                dataset=name, page_size=_PAGE_SIZE, page_token=token, split=split_number(split)
            )
            stub = self.client.stubs.datasets.ListDatasetImages
            response = yield from Call(stub, request, self.client.timeout.call)
            found += map(read_dataset_image, response.images)
            token = response.next_page_token
            if not token:
                return found

    def next_image(
        self, name: str, *, strategy: str, keep_seconds: float, split: str, readers: int, peek: bool
    ) -> Operation[NextImage | None]:
        """Get an image to annotate; None if there is none now."""
        request = dataset_pb.NextImageRequest(
            dataset=name,
            strategy=strategy_number(strategy),
            keep_seconds=keep_seconds,
            split=split_number(split),
            readers=readers,
            peek=peek,
        )
        response = yield from Call(self.client.stubs.datasets.NextImage, request, self.client.timeout.call)
        return read_next_image(response)

    def skip_image(self, name: str, digest: str, *, reason: str) -> Operation[None]:
        """Give an image back."""
        request = dataset_pb.SkipImageRequest(dataset=name, image_digest=digest, reason=reason)
        yield from Call(self.client.stubs.datasets.SkipImage, request, self.client.timeout.call)

    def save(
        self, name: str, session_id: str, *, absent: Sequence[str], state: str, revision: int | None
    ) -> Operation[AnnotationInfo]:
        """Save the segments of a session as an annotation. It may be repeated: the same is not saved twice."""
        request = dataset_pb.SaveAnnotationRequest(
            dataset=name, session_id=session_id, absent_labels=absent, state=state_number(state), revision=revision
        )
        response = yield from Call(self.client.stubs.datasets.SaveAnnotation, request, self.client.timeout.call)
        return read_annotation(response.annotation)

    def add_masks(self, name: str, digest: str, masks: Mapping[str, Array], *, state: str) -> Operation[AnnotationInfo]:
        """Save masks that were made elsewhere as an annotation."""
        packed = yield from Work(lambda: {label: _pack(label, mask) for label, mask in masks.items()})
        request = dataset_pb.ImportAnnotationRequest(
            dataset=name,
            image_digest=digest,
            labels=[dataset_pb.LabelMask(name=label, mask=mask_to_message(mask)) for label, mask in packed.items()],
            state=state_number(state),
        )
        response = yield from Call(self.client.stubs.datasets.ImportAnnotation, request, self.client.timeout.call)
        return read_annotation(response.annotation)

    def annotations(self, name: str, *, digest: str, state: str) -> Operation[list[AnnotationInfo]]:
        """List annotations of a dataset, the latest first."""
        found: list[AnnotationInfo] = []
        token = ""
        while True:
            request = dataset_pb.ListAnnotationsRequest(
                dataset=name, image_digest=digest, state=state_number(state), page_size=_PAGE_SIZE, page_token=token
            )
            response = yield from Call(self.client.stubs.datasets.ListAnnotations, request, self.client.timeout.call)
            found += map(read_annotation, response.annotations)
            token = response.next_page_token
            if not token:
                return found

    def annotation(self, annotation_id: str) -> Operation[AnnotationInfo]:
        """Describe an annotation."""
        info, _ = yield from self._read(annotation_id, without_masks=True)
        return info

    def masks(self, annotation_id: str) -> Operation[Segmentation]:
        """Read the masks of an annotation."""
        info, packed = yield from self._read(annotation_id, without_masks=False)
        request = image_pb.GetImageRequest(digest=info.image_digest)
        response = yield from Call(self.client.stubs.images.GetImage, request, self.client.timeout.call)
        masks = {name: LabelledMask(info.labels[name], mask, None) for name, mask in packed.items()}
        geometry = geometry_from_message(response.image.geometry)
        return Segmentation(masks, geometry, info.model, info.model_version)

    def review(self, annotation_id: str, state: str, *, reason: str) -> Operation[AnnotationInfo]:
        """Accept or reject an annotation, or take that back."""
        request = dataset_pb.ReviewAnnotationRequest(id=annotation_id, state=state_number(state), reason=reason)
        response = yield from Call(self.client.stubs.datasets.ReviewAnnotation, request, self.client.timeout.call)
        return read_annotation(response.annotation)

    def adjudicate(self, annotation_id: str, *, among: Sequence[str], reason: str) -> Operation[AnnotationInfo]:
        """Decide between annotations of one image. It may be repeated: the same decision is not made twice."""
        request = dataset_pb.AdjudicateAnnotationsRequest(id=annotation_id, among_ids=among, reason=reason)
        response = yield from Call(self.client.stubs.datasets.AdjudicateAnnotations, request, self.client.timeout.call)
        return read_annotation(response.annotation)

    def trace(self, name: str, *, case_name: str, patient: str, whole_patient: bool) -> Operation[list[ImageTrace]]:
        """List what is kept of a case or a patient."""
        traces: list[ImageTrace] = []
        token = ""
        while True:
            request = dataset_pb.TraceImagesRequest(
                dataset=name, case_name=case_name, patient=patient, whole_patient=whole_patient, page_token=token
            )
            response = yield from Call(self.client.stubs.datasets.TraceImages, request, self.client.timeout.call)
            traces += (read_trace(trace, models_known=response.models_known) for trace in response.traces)
            token = response.next_page_token
            if not token:
                return traces

    def remove(
        self, name: str, *, case_name: str, patient: str, whole_patient: bool, end_sessions: bool
    ) -> Operation[list[RemovedImage]]:
        """Remove a case or a patient. It is not repeated: the second time there may be nothing to remove."""
        traces = yield from self.trace(name, case_name=case_name, patient=patient, whole_patient=whole_patient)
        removed: list[RemovedImage] = []
        # By case: without its first case, a patient of a case cannot be named any more.
        for trace in traces:
            request = dataset_pb.RemoveImagesRequest(
                dataset=name, case_name=trace.image.case_name, end_sessions=end_sessions
            )
            stub, timeout = self.client.stubs.datasets.RemoveImages, self.client.timeout.call
            response = yield from Call(stub, request, timeout, repeatable=False)
            removed += map(read_removed, response.removed)
        return removed

    def download(self, digest: str) -> Operation[Volume]:
        """Read an image that the gateway has; its SHA-256 is checked."""
        header = image_pb.Image()
        voxels = bytearray()

        def receive(response: image_pb.DownloadImageResponse) -> None:
            if response.WhichOneof("part") == "header":
                # A retry delivers the image again.
                header.CopyFrom(response.header)
                voxels.clear()
            else:
                voxels.extend(response.chunk)

        request = image_pb.DownloadImageRequest(digest=digest)
        stub, timeout = self.client.stubs.images.DownloadImage, self.client.timeout.upload
        yield from ServerStreamingCall(stub, request, receive, timeout)
        return (yield from Work(lambda: _volume(header, voxels, digest)))

    def _read(
        self, annotation_id: str, *, without_masks: bool
    ) -> Operation[tuple[AnnotationInfo, dict[str, PackedMask]]]:
        infos: list[AnnotationInfo] = []
        packed: dict[str, PackedMask] = {}

        def receive(response: dataset_pb.GetAnnotationResponse) -> None:
            if response.WhichOneof("part") == "annotation":
                infos.append(read_annotation(response.annotation))
            else:
                packed[response.label.name] = mask_from_message(response.label.mask)

        request = dataset_pb.GetAnnotationRequest(id=annotation_id, without_masks=without_masks)
        stub, timeout = self.client.stubs.datasets.GetAnnotation, self.client.timeout.call
        yield from ServerStreamingCall(stub, request, receive, timeout)
        if not infos:
            raise InternalError("the annotation arrived without its description")
        return infos[-1], packed


def _labels(labels: Sequence[str | DatasetLabel]) -> list[dataset_pb.DatasetLabel]:
    every = [DatasetLabel(label) if isinstance(label, str) else label for label in labels]
    return [dataset_pb.DatasetLabel(**vars(label)) for label in every]


def _pack(label: str, mask: Array) -> PackedMask:
    array = np.asarray(mask)
    if array.ndim != 3 or (array.dtype != np.bool_ and not np.isin(array, (0, 1)).all()):
        raise InvalidArgument(f"the mask of {label!r} is no mask; expected an array [z, y, x] of 0 and 1")
    return pack(array.astype(np.bool_), (0, 0, 0))


def _volume(header: image_pb.Image, voxels: bytearray, digest: str) -> Volume:
    if len(voxels) != header.byte_count:
        raise ChecksumMismatch("the image arrived incomplete; download it again")
    geometry = geometry_from_message(header.geometry)
    array = np.frombuffer(voxels, VOXEL_TYPES[header.voxel_type]).reshape(geometry.shape)
    volume = Volume(array, geometry)
    if volume.digest != digest:
        raise ChecksumMismatch("the image arrived damaged: its SHA-256 differs; download it again")
    return volume
