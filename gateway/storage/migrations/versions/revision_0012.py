"""Rules of learning, and decisions."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    """Make them."""
    op.create_table(
        "learning_rules",
        sa.Column("tenant", sa.String(length=63), server_default=sa.text("'default'"), nullable=False),
        sa.Column("dataset_id", sa.String(length=32), nullable=False),
        sa.Column("content", sa.JSON(), nullable=False, comment="as sixpoint.loop.Rules"),
        sa.Column("changed", sa.Double(), nullable=False),
        sa.Column("changed_by", sa.String(length=200), nullable=False),
        sa.ForeignKeyConstraint(
            ["dataset_id"], ["datasets.id"], name="fk_learning_rules_dataset_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("dataset_id", name="pk_learning_rules"),
    )
    op.create_table(
        "learning_decisions",
        sa.Column("tenant", sa.String(length=63), server_default=sa.text("'default'"), nullable=False),
        sa.Column("dataset_id", sa.String(length=32), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False, comment="1, 2, 3, ... of each dataset"),
        sa.Column("task", sa.String(length=32), nullable=False),
        sa.Column("version", sa.String(length=64), nullable=False, comment="that it is about; empty without one"),
        sa.Column("content", sa.JSON(), nullable=False, comment="as sixpoint.loop.Decision"),
        sa.ForeignKeyConstraint(
            ["dataset_id"], ["datasets.id"], name="fk_learning_decisions_dataset_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("dataset_id", "number", name="pk_learning_decisions"),
    )


def downgrade() -> None:
    """Undo it."""
    op.drop_table("learning_decisions")
    op.drop_table("learning_rules")
