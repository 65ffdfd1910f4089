"""Rows of queries on datasets, as the core knows them."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Row

from gateway.core.datasets import (
    AnnotatedLabel,
    AnnotationRow,
    AnnotationState,
    DatasetImageRow,
    DatasetLabel,
    DatasetRow,
    LabelMask,
    Review,
    Split,
)
from gateway.storage.geometries import geometry_from_json
from sixpoint.mask import PackedMask

__all__ = ["read_annotation", "read_dataset", "read_dataset_image", "read_mask"]


def read_dataset(row: Row[Any]) -> DatasetRow:
    """Convert a row of a query on datasets."""
    return DatasetRow(**{**row._mapping, "labels": tuple(DatasetLabel(**label) for label in row.labels)})


def read_dataset_image(row: Row[Any]) -> DatasetImageRow:
    """Convert a row of a query on images."""
    return DatasetImageRow(
        **{
            **row._mapping,
            "split": Split(row.split),
            "state": AnnotationState(row.state) if row.state else None,
            "geometry": geometry_from_json(row.geometry) if row.geometry else None,
        }
    )


def read_annotation(row: Row[Any]) -> AnnotationRow:
    """Convert a row of a query on annotations, with their last review."""
    values = dict(row._mapping)
    review = {name: values.pop(f"review_{name}") for name in Review.__dataclass_fields__}
    return AnnotationRow(
        **values
        | {
            "labels": tuple(AnnotatedLabel(**label) for label in row.labels),
            "state": AnnotationState(row.state),
            "review": Review(**review | {"state": AnnotationState(review["state"])}) if review["state"] else None,
        }
    )


def read_mask(row: Row[Any]) -> LabelMask:
    """Convert a row of a query on masks."""
    lower, upper = (tuple(row.box[name]) for name in ("lower", "upper"))
    return LabelMask(row.number, row.name, PackedMask(lower, upper, row.bits, row.sha256, row.voxel_count))
