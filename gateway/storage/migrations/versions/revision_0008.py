"""Scores of images."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Make them."""
    op.create_table(
        "image_scores",
        sa.Column("tenant", sa.String(length=63), server_default=sa.text("'default'"), nullable=False),
        sa.Column("dataset_id", sa.String(length=32), nullable=False),
        sa.Column("image_digest", sa.String(length=64), nullable=False),
        sa.Column("model", sa.String(length=200), nullable=False),
        sa.Column("model_version", sa.String(length=64), nullable=False),
        sa.Column("created", sa.Double(), nullable=False),
        sa.Column("uncertainty", sa.Double(), nullable=False, comment="mean of the entropies"),
        sa.Column("entropies", sa.JSON(), nullable=False, comment="bits, by the name of the label"),
        sa.Column("embedding", sa.LargeBinary(), nullable=False, comment="little-endian float32"),
        sa.ForeignKeyConstraint(
            ["dataset_id", "image_digest"],
            ["dataset_images.dataset_id", "dataset_images.image_digest"],
            name="fk_image_scores_dataset_id",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("dataset_id", "image_digest", "model", "model_version", name="pk_image_scores"),
    )
    op.create_index("ix_image_scores_dataset_id_created", "image_scores", ["dataset_id", "created"])


def downgrade() -> None:
    """Undo it."""
    op.drop_table("image_scores")
