"""Forks share the steps of the session they come from, and sessions count what their logs take."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_COUNT = """
UPDATE sessions SET
    step_count = COALESCE((SELECT SUM(length) FROM segments WHERE session_id = sessions.id), 0),
    log_bytes = 128 * (SELECT COUNT(*) FROM requests WHERE session_id = sessions.id)
        + COALESCE((SELECT SUM(LENGTH(prompts) + LENGTH(answer)) FROM steps WHERE session_id = sessions.id), 0)
"""
# Rows that are shared, or stored under other numbers than their segment's, are set aside under numbers below zero.
_SET_ASIDE = """
UPDATE steps SET number = -number WHERE EXISTS (
    SELECT 1 FROM segments
    WHERE segments.session_id = steps.session_id AND segments.number = steps.segment AND segments.number_offset > 0
) OR EXISTS (
    SELECT 1 FROM shared_steps WHERE source_id = steps.session_id AND shared_steps.segment = steps.segment
)
"""
_COPY_SHARED = """
INSERT INTO steps (session_id, segment, number, begun, revision, prompts, model, model_version, created, roi, threshold,
    answer)
SELECT shared_steps.session_id, steps.segment, -steps.number - shared_steps.number_offset, begun, revision, prompts,
    model, model_version, created, roi, threshold, answer
FROM shared_steps JOIN steps ON steps.session_id = source_id AND steps.segment = shared_steps.segment
    AND -steps.number - shared_steps.number_offset BETWEEN first AND last
"""
_TAKE_BACK = """
UPDATE steps SET number = -number - COALESCE((
    SELECT number_offset FROM segments WHERE session_id = steps.session_id AND segments.number = steps.segment
), 0)
WHERE number < 0 AND -number > COALESCE((
    SELECT number_offset FROM segments WHERE session_id = steps.session_id AND segments.number = steps.segment
), 0)
"""


def upgrade() -> None:
    """Make it."""
    op.add_column(
        "sessions",
        sa.Column(
            "step_count",
            sa.Integer(),
            nullable=False,
            server_default=sa.text("0"),
            comment="steps of all segments, shared ones too",
        ),
    )
    op.add_column(
        "sessions",
        sa.Column(
            "log_bytes",
            sa.BigInteger(),
            nullable=False,
            server_default=sa.text("0"),
            comment="bytes that its own log takes here",
        ),
    )
    op.add_column(
        "segments",
        sa.Column(
            "number_offset",
            sa.Integer(),
            nullable=False,
            server_default=sa.text("0"),
            comment="what steps.number of its own steps is higher than their number in the segment",
        ),
    )
    op.create_table(
        "shared_steps",
        sa.Column("session_id", sa.String(length=32), nullable=False),
        sa.Column("segment", sa.Integer(), nullable=False),
        sa.Column("first", sa.Integer(), nullable=False, comment="number in the segment of the first shared step"),
        sa.Column("last", sa.Integer(), nullable=False, comment="number in the segment of the last shared step"),
        sa.Column("source_id", sa.String(length=32), nullable=False, comment="session whose rows of steps they are"),
        sa.Column("number_offset", sa.Integer(), nullable=False, comment="what steps.number is higher than the number"),
        sa.ForeignKeyConstraint(
            ["session_id", "segment"],
            ["segments.session_id", "segments.number"],
            name="fk_shared_steps_session_id_segment",
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["source_id", "segment"],
            ["segments.session_id", "segments.number"],
            name="fk_shared_steps_source_id_segment",
        ),
        sa.PrimaryKeyConstraint("session_id", "segment", "first", name="pk_shared_steps"),
    )
    op.create_index("ix_shared_steps_source_id_segment", "shared_steps", ["source_id", "segment"], unique=False)
    op.execute(_COUNT)


def downgrade() -> None:
    """Undo it: each session gets copies of the steps that it shares."""
    for statement in (_SET_ASIDE, _COPY_SHARED, _TAKE_BACK, "DELETE FROM steps WHERE number < 0"):
        op.execute(statement)
    op.drop_index("ix_shared_steps_source_id_segment", table_name="shared_steps")
    op.drop_table("shared_steps")
    op.drop_column("segments", "number_offset")
    op.drop_column("sessions", "log_bytes")
    op.drop_column("sessions", "step_count")
