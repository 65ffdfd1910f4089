"""Datasets, and the annotations that people save."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Make them."""
    _make_datasets()
    _make_annotations()
    _make_assignments()


def downgrade() -> None:
    """Undo it."""
    for table in ("assignments", "reviews", "annotation_masks", "annotations", "dataset_images", "datasets"):
        op.drop_table(table)


def _tenant() -> sa.Column[str]:
    return sa.Column("tenant", sa.String(length=63), server_default=sa.text("'default'"), nullable=False)


def _make_datasets() -> None:
    op.create_table(
        "datasets",
        sa.Column("id", sa.String(length=32), nullable=False),
        _tenant(),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("owner", sa.String(length=200), nullable=False),
        sa.Column("created", sa.Double(), nullable=False),
        sa.Column("labels", sa.JSON(), nullable=False, comment="number, name, colour, snomed_code of each, by number"),
        sa.Column("validation_share", sa.Double(), nullable=False),
        sa.Column("test_share", sa.Double(), nullable=False),
        sa.Column("salt", sa.String(length=32), nullable=False, comment="key of the hashes of patients"),
        sa.PrimaryKeyConstraint("id", name="pk_datasets"),
        sa.UniqueConstraint("tenant", "name", name="uq_datasets_tenant_name"),
    )
    op.create_table(
        "dataset_images",
        _tenant(),
        sa.Column("dataset_id", sa.String(length=32), nullable=False),
        sa.Column(
            "image_digest",
            sa.String(length=64),
            nullable=False,
            comment="no foreign key: a damaged image is removed",
        ),
        sa.Column("case_name", sa.String(length=100), nullable=False),
        sa.Column("patient", sa.String(length=64), nullable=False, comment="keyed hash"),
        sa.Column("split", sa.String(length=10), nullable=False, comment="training, validation or test"),
        sa.Column("added", sa.Double(), nullable=False),
        sa.Column("annotation_count", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("state", sa.String(length=10), nullable=True, comment="state of the latest annotation"),
        sa.ForeignKeyConstraint(
            ["dataset_id"], ["datasets.id"], name="fk_dataset_images_dataset_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("dataset_id", "image_digest", name="pk_dataset_images"),
        sa.UniqueConstraint("dataset_id", "case_name", name="uq_dataset_images_dataset_id_case_name"),
    )
    op.create_index("ix_dataset_images_tenant_image_digest", "dataset_images", ["tenant", "image_digest"])


def _make_annotations() -> None:
    op.create_table(
        "annotations",
        sa.Column("id", sa.String(length=32), nullable=False),
        _tenant(),
        sa.Column("dataset_id", sa.String(length=32), nullable=False),
        sa.Column("image_digest", sa.String(length=64), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False, comment="1, 2, 3, ... of each image"),
        sa.Column("annotator", sa.String(length=200), nullable=False),
        sa.Column("created", sa.Double(), nullable=False),
        sa.Column("labels", sa.JSON(), nullable=False, comment="number, name, voxel_count of each, by number"),
        sa.Column("session_id", sa.String(length=32), nullable=False, comment="empty for imported ones"),
        sa.Column("model", sa.String(length=200), nullable=False),
        sa.Column("model_version", sa.String(length=64), nullable=False),
        sa.Column("prompt_count", sa.Integer(), nullable=False),
        sa.Column("active_seconds", sa.Double(), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False, comment="SHA-256 of the masks"),
        sa.Column("byte_count", sa.BigInteger(), nullable=False, comment="bytes that the masks take here"),
        sa.Column("state", sa.String(length=10), nullable=False, comment="draft, submitted, accepted or rejected"),
        sa.ForeignKeyConstraint(
            ["dataset_id", "image_digest"],
            ["dataset_images.dataset_id", "dataset_images.image_digest"],
            name="fk_annotations_dataset_id_image_digest",
        ),
        sa.PrimaryKeyConstraint("id", name="pk_annotations"),
        sa.UniqueConstraint(
            "dataset_id", "image_digest", "version", name="uq_annotations_dataset_id_image_digest_version"
        ),
    )
    op.create_index("ix_annotations_dataset_id_created_id", "annotations", ["dataset_id", "created", "id"])
    op.create_index("ix_annotations_tenant_annotator", "annotations", ["tenant", "annotator"])
    op.create_index("ix_annotations_session_id", "annotations", ["session_id"])
    op.create_table(
        "annotation_masks",
        _tenant(),
        sa.Column("annotation_id", sa.String(length=32), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("box", sa.JSON(), nullable=False, comment="lower, upper, as sixpoint.v1.Box"),
        sa.Column("bits", sa.LargeBinary(), nullable=False, comment="as sixpoint.v1.MaskPatch"),
        sa.Column("sha256", sa.LargeBinary(), nullable=False),
        sa.Column("voxel_count", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["annotation_id"], ["annotations.id"], name="fk_annotation_masks_annotation_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("annotation_id", "number", name="pk_annotation_masks"),
    )
    op.create_table(
        "reviews",
        _tenant(),
        sa.Column("annotation_id", sa.String(length=32), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False, comment="1, 2, 3, ... of each annotation"),
        sa.Column("state", sa.String(length=10), nullable=False),
        sa.Column("reviewer", sa.String(length=200), nullable=False),
        sa.Column("reason", sa.String(length=500), nullable=False),
        sa.Column("time", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(
            ["annotation_id"], ["annotations.id"], name="fk_reviews_annotation_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("annotation_id", "number", name="pk_reviews"),
    )


def _make_assignments() -> None:
    op.create_table(
        "assignments",
        _tenant(),
        sa.Column("dataset_id", sa.String(length=32), nullable=False),
        sa.Column("image_digest", sa.String(length=64), nullable=False),
        sa.Column("annotator", sa.String(length=200), nullable=False),
        sa.Column("until", sa.Double(), nullable=False, comment="others get the image after this time"),
        sa.Column("skipped", sa.Integer(), nullable=False, comment="1: the annotator does not get it again"),
        sa.Column("reason", sa.String(length=500), nullable=False, comment="why it was skipped"),
        sa.ForeignKeyConstraint(
            ["dataset_id", "image_digest"],
            ["dataset_images.dataset_id", "dataset_images.image_digest"],
            name="fk_assignments_dataset_id_image_digest",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("dataset_id", "image_digest", "annotator", name="pk_assignments"),
    )
