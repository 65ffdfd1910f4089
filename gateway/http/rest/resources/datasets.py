"""Datasets: made, listed, grown; the next image to annotate, and images that are given back or removed."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.contract import DatasetCalls
from gateway.core.access import Role
from gateway.core.runtime import DeadlineLimits
from gateway.http.rest.examples import DATASET, DATASET_IMAGES, DATASET_LABELS, NEXT_IMAGE, SKIP, SUBJECT
from gateway.http.rest.operations import Operation, contract_operation
from sixpoint.v1 import dataset_service_pb2 as dataset_pb

__all__ = ["DATASET_PATH", "IMAGE_PATH", "dataset_operations"]

DATASET_PATH = "/datasets/{dataset}"
"""Path of a dataset, in calls on what it has."""
IMAGE_PATH = f"{DATASET_PATH}/images/{{image_digest}}"
"""Path of an image of a dataset."""


def dataset_operations(calls: DatasetCalls, deadlines: DeadlineLimits) -> Sequence[Operation]:
    """The operations on datasets and their images."""
    return [
        *_datasets(calls, deadlines),
        *_images(calls, deadlines),
        *_assignments(calls, deadlines),
        *_removal(calls, deadlines),
    ]


def _datasets(calls: DatasetCalls, deadlines: DeadlineLimits) -> list[Operation]:
    return [
        contract_operation(
            "POST",
            "/datasets",
            "createDataset",
            "Make a dataset",
            dataset_pb.CreateDatasetRequest,
            calls.create_dataset,
            Role.ENGINEER,
            deadlines,
            in_body=True,
            part="dataset",
            status=201,
            example=DATASET,
        ),
        contract_operation(
            "GET",
            "/datasets",
            "listDatasets",
            "List the datasets of your tenant",
            dataset_pb.ListDatasetsRequest,
            calls.list_datasets,
            Role.VIEWER,
            deadlines,
        ),
        contract_operation(
            "GET",
            "/datasets/{name}",
            "getDataset",
            "Describe a dataset",
            dataset_pb.GetDatasetRequest,
            calls.get_dataset,
            Role.VIEWER,
            deadlines,
            part="dataset",
        ),
        contract_operation(
            "POST",
            f"{DATASET_PATH}/labels",
            "addLabels",
            "Add labels to a dataset",
            dataset_pb.AddLabelsRequest,
            calls.add_labels,
            Role.ENGINEER,
            deadlines,
            in_body=True,
            part="dataset",
            example=DATASET_LABELS,
        ),
    ]


def _images(calls: DatasetCalls, deadlines: DeadlineLimits) -> list[Operation]:
    return [
        contract_operation(
            "POST",
            f"{DATASET_PATH}/images",
            "addImages",
            "Add uploaded images to a dataset",
            dataset_pb.AddImagesRequest,
            calls.add_images,
            Role.ANNOTATOR,
            deadlines,
            in_body=True,
            example=DATASET_IMAGES,
        ),
        contract_operation(
            "GET",
            f"{DATASET_PATH}/images",
            "listDatasetImages",
            "List the images of a dataset",
            dataset_pb.ListDatasetImagesRequest,
            calls.list_images,
            Role.VIEWER,
            deadlines,
        ),
    ]


def _assignments(calls: DatasetCalls, deadlines: DeadlineLimits) -> list[Operation]:
    return [
        contract_operation(
            "POST",
            f"{DATASET_PATH}/next",
            "nextImage",
            "Get an image to annotate, which nobody else gets meanwhile",
            dataset_pb.NextImageRequest,
            calls.next_image,
            Role.ANNOTATOR,
            deadlines,
            in_body=True,
            example=NEXT_IMAGE,
        ),
        contract_operation(
            "POST",
            f"{IMAGE_PATH}/skip",
            "skipImage",
            "Give an image back that you cannot annotate",
            dataset_pb.SkipImageRequest,
            calls.skip_image,
            Role.ANNOTATOR,
            deadlines,
            in_body=True,
            status=204,
            example=SKIP,
        ),
    ]


def _removal(calls: DatasetCalls, deadlines: DeadlineLimits) -> list[Operation]:
    # In the body of a POST: what is in addresses is found in the logs of proxies.
    return [
        contract_operation(
            "POST",
            f"{DATASET_PATH}/traces",
            "traceImages",
            "List what is kept of a case or a patient",
            dataset_pb.TraceImagesRequest,
            calls.trace_images,
            Role.ENGINEER,
            deadlines,
            in_body=True,
            example=SUBJECT,
        ),
        contract_operation(
            "POST",
            f"{DATASET_PATH}/remove",
            "removeImages",
            "Remove a case or a patient for good",
            dataset_pb.RemoveImagesRequest,
            calls.remove_images,
            Role.ADMIN,
            deadlines,
            in_body=True,
            example=SUBJECT,
        ),
    ]
