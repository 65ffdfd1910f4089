"""How far drafts and annotation models disagree."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"

_EMPTY = sa.text("''")


def upgrade() -> None:
    """Make the columns."""
    comment = "annotation model that the draft was compared with; else empty"
    for column in (
        sa.Column("annotation_model", sa.String(length=200), server_default=_EMPTY, nullable=False, comment=comment),
        sa.Column("annotation_version", sa.String(length=64), server_default=_EMPTY, nullable=False),
        sa.Column("disagreement", sa.Double(), nullable=True, comment="1 - mean of dice; null without"),
        sa.Column(
            "dice", sa.JSON(), server_default=sa.text("'{}'"), nullable=False, comment="by the name of the label"
        ),
    ):
        op.add_column("image_scores", column)


def downgrade() -> None:
    """Undo it."""
    for name in ("dice", "disagreement", "annotation_version", "annotation_model"):
        op.drop_column("image_scores", name)
