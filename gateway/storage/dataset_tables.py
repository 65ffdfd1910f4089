"""The tables of datasets and annotations."""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    Double,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    UniqueConstraint,
    text,
)

from gateway.storage.schema import metadata, tenant_column

__all__ = [
    "annotation_masks",
    "assignments",
    "dataset_images",
    "datasets",
    "image_scores",
    "reviews",
    "saved_annotations",
]

datasets = Table(
    "datasets",
    metadata,
    Column("id", String(32), primary_key=True),
    tenant_column(),
    Column("name", String(100), nullable=False),
    Column("owner", String(200), nullable=False),
    Column("created", Double, nullable=False),
    Column("labels", JSON, nullable=False, comment="number, name, colour, snomed_code of each, by number"),
    Column("validation_share", Double, nullable=False),
    Column("test_share", Double, nullable=False),
    Column("salt", String(32), nullable=False, comment="key of the hashes of patients"),
    UniqueConstraint("tenant", "name"),
)
"""Datasets: images with labels."""

dataset_images = Table(
    "dataset_images",
    metadata,
    tenant_column(),
    Column("dataset_id", String(32), ForeignKey("datasets.id", ondelete="CASCADE"), primary_key=True),
    Column("image_digest", String(64), primary_key=True, comment="no foreign key: a damaged image is removed"),
    Column("case_name", String(100), nullable=False),
    Column("patient", String(64), nullable=False, comment="keyed hash"),
    Column("split", String(10), nullable=False, comment="training, validation or test"),
    Column("added", Double, nullable=False),
    Column("annotation_count", Integer, nullable=False, server_default=text("0")),
    Column("state", String(10), nullable=True, comment="state of the latest annotation"),
    UniqueConstraint("dataset_id", "case_name"),
    Index(None, "tenant", "image_digest"),
)
"""Images of datasets. They are not removed for lack of use."""

saved_annotations = Table(
    "annotations",
    metadata,
    Column("id", String(32), primary_key=True),
    tenant_column(),
    Column("dataset_id", String(32), nullable=False),
    Column("image_digest", String(64), nullable=False),
    Column("version", Integer, nullable=False, comment="1, 2, 3, ... of each image"),
    Column("annotator", String(200), nullable=False),
    Column("created", Double, nullable=False),
    Column("labels", JSON, nullable=False, comment="number, name, voxel_count of each, by number"),
    Column("session_id", String(32), nullable=False, comment="empty for imported ones"),
    Column("model", String(200), nullable=False),
    Column("model_version", String(64), nullable=False),
    Column("prompt_count", Integer, nullable=False),
    Column("active_seconds", Double, nullable=False),
    Column("digest", String(64), nullable=False, comment="SHA-256 of the masks"),
    Column("byte_count", BigInteger, nullable=False, comment="bytes that the masks take here"),
    Column("state", String(10), nullable=False, comment="draft, submitted, accepted or rejected"),
    Column(
        "adjudicated_by",
        String(32),
        nullable=False,
        server_default=text("''"),
        comment="id of the annotation that decided between this one and others; else empty",
    ),
    ForeignKeyConstraint(["dataset_id", "image_digest"], ["dataset_images.dataset_id", "dataset_images.image_digest"]),
    UniqueConstraint("dataset_id", "image_digest", "version"),
    Index(None, "dataset_id", "created", "id"),
    Index(None, "tenant", "annotator"),
    Index(None, "session_id"),
)
"""Annotations that people saved. Only their state changes, and adjudicated_by with it."""

annotation_masks = Table(
    "annotation_masks",
    metadata,
    tenant_column(),
    Column("annotation_id", String(32), ForeignKey("annotations.id", ondelete="CASCADE"), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("name", String(100), nullable=False),
    Column("box", JSON, nullable=False, comment="lower, upper, as sixpoint.v1.Box"),
    Column("bits", LargeBinary, nullable=False, comment="as sixpoint.v1.MaskPatch"),
    Column("sha256", LargeBinary, nullable=False),
    Column("voxel_count", BigInteger, nullable=False),
)
"""Masks of annotations. Rows never change."""

reviews = Table(
    "reviews",
    metadata,
    tenant_column(),
    Column("annotation_id", String(32), ForeignKey("annotations.id", ondelete="CASCADE"), primary_key=True),
    Column("number", Integer, primary_key=True, comment="1, 2, 3, ... of each annotation"),
    Column("state", String(10), nullable=False),
    Column("reviewer", String(200), nullable=False),
    Column("reason", String(500), nullable=False),
    Column("time", Double, nullable=False),
)
"""Reviews of annotations. Rows are only added; the last one holds."""

assignments = Table(
    "assignments",
    metadata,
    tenant_column(),
    Column("dataset_id", String(32), primary_key=True),
    Column("image_digest", String(64), primary_key=True),
    Column("annotator", String(200), primary_key=True),
    Column("until", Double, nullable=False, comment="others get the image after this time"),
    Column("skipped", Integer, nullable=False, comment="1: the annotator does not get it again"),
    Column("reason", String(500), nullable=False, comment="why it was skipped"),
    ForeignKeyConstraint(
        ["dataset_id", "image_digest"],
        ["dataset_images.dataset_id", "dataset_images.image_digest"],
        ondelete="CASCADE",
    ),
)
"""Who annotates which image now, and who does not want to."""

image_scores = Table(
    "image_scores",
    metadata,
    tenant_column(),
    Column("dataset_id", String(32), primary_key=True),
    Column("image_digest", String(64), primary_key=True),
    Column("model", String(200), primary_key=True),
    Column("model_version", String(64), primary_key=True),
    Column("created", Double, nullable=False),
    Column("uncertainty", Double, nullable=False, comment="mean of the entropies"),
    Column("entropies", JSON, nullable=False, comment="bits, by the name of the label"),
    Column("embedding", LargeBinary, nullable=False, comment="little-endian float32"),
    Column(
        "annotation_model",
        String(200),
        nullable=False,
        server_default=text("''"),
        comment="annotation model that the draft was compared with; else empty",
    ),
    Column("annotation_version", String(64), nullable=False, server_default=text("''")),
    Column("disagreement", Double, nullable=True, comment="1 - mean of dice; null without"),
    Column("dice", JSON, nullable=False, server_default=text("'{}'"), comment="by the name of the label"),
    ForeignKeyConstraint(
        ["dataset_id", "image_digest"],
        ["dataset_images.dataset_id", "dataset_images.image_digest"],
        ondelete="CASCADE",
    ),
    Index(None, "dataset_id", "created"),
)
"""What segmentations by models said of images, besides their drafts."""
