"""Decisions between annotations of one image."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Make their column."""
    op.add_column(
        "annotations",
        sa.Column(
            "adjudicated_by",
            sa.String(length=32),
            server_default=sa.text("''"),
            nullable=False,
            comment="id of the annotation that decided between this one and others; else empty",
        ),
    )


def downgrade() -> None:
    """Undo it."""
    op.drop_column("annotations", "adjudicated_by")
