"""Jobs wait in a queue, and have no leases any more."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """Jobs that have not ended get a place in the queue when the first worker starts."""
    op.add_column(
        "jobs",
        sa.Column(
            "run",
            sa.String(length=32),
            server_default="",
            nullable=False,
            comment="its entry in the queue; empty without one",
        ),
    )
    op.drop_column("jobs", "lease")


def downgrade() -> None:
    """Undo it."""
    op.add_column(
        "jobs",
        sa.Column("lease", sa.Double(), server_default="0", nullable=False, comment="the worker has it until then"),
    )
    op.drop_column("jobs", "run")
