"""The audit log."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Make it."""
    op.create_table(
        "audit",
        sa.Column("tenant", sa.String(length=63), nullable=False, comment="empty for calls whose caller is not known"),
        sa.Column(
            "number", sa.BigInteger(), autoincrement=False, nullable=False, comment="1, 2, 3, ... in each tenant"
        ),
        sa.Column("time", sa.Double(), nullable=False),
        sa.Column("subject", sa.String(length=200), nullable=False),
        sa.Column("role", sa.String(length=20), nullable=False),
        sa.Column("method", sa.String(length=10), nullable=False, comment="how the caller proved who it is"),
        sa.Column("peer", sa.String(length=64), nullable=False),
        sa.Column("action", sa.String(length=40), nullable=False),
        sa.Column("object", sa.String(length=100), nullable=False),
        sa.Column("source", sa.String(length=64), nullable=False),
        sa.Column("outcome", sa.String(length=40), nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False, comment="times that it happened since the entry before"),
        sa.Column(
            "hash", sa.String(length=64), nullable=False, comment="SHA-256 of the entry and of the hash before it"
        ),
        sa.PrimaryKeyConstraint("tenant", "number", name="pk_audit"),
    )
    op.create_index("ix_audit_time", "audit", ["time"], unique=False)
    op.create_table(
        "audit_heads",
        sa.Column("tenant", sa.String(length=63), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False, comment="number of the last entry"),
        sa.Column("hash", sa.String(length=64), nullable=False, comment="hash of the last entry"),
        sa.Column(
            "removed", sa.BigInteger(), nullable=False, comment="number of the last entry that was removed for its age"
        ),
        sa.Column(
            "removed_hash", sa.String(length=64), nullable=False, comment="its hash, from which the rest goes on"
        ),
        sa.PrimaryKeyConstraint("tenant", name="pk_audit_heads"),
    )


def downgrade() -> None:
    """Undo it."""
    op.drop_table("audit_heads")
    op.drop_index("ix_audit_time", table_name="audit")
    op.drop_table("audit")
