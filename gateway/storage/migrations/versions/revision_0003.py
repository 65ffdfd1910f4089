"""Gateways claim the next turn on a session."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Make it."""
    op.create_table(
        "turns",
        sa.Column("session_id", sa.String(length=32), nullable=False),
        sa.Column("holder", sa.String(length=32), nullable=False, comment="random name of a gateway process"),
        sa.Column("until", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(["session_id"], ["sessions.id"], name="fk_turns_session_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("session_id", name="pk_turns"),
    )


def downgrade() -> None:
    """Undo it."""
    op.drop_table("turns")
