"""The tables of images, of sessions with their logs, and of the gateways' clock."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make them."""
    op.create_table(
        "clock",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("ticked", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_clock"),
    )
    op.create_table(
        "images",
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column(
            "geometry", sa.JSON(), nullable=False, comment="size, spacing, origin, direction, as sixpoint.v1.Geometry"
        ),
        sa.Column("voxel_type", sa.Integer(), nullable=False),
        sa.Column("byte_count", sa.BigInteger(), nullable=False),
        sa.Column("owner", sa.String(length=200), nullable=False),
        sa.Column("created", sa.Double(), nullable=False, comment="seconds since 1970, UTC, as all times here"),
        sa.Column("used", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("digest", name="pk_images"),
    )
    op.create_index("ix_images_owner", "images", ["owner"], unique=False)
    op.create_index("ix_images_used", "images", ["used"], unique=False)
    op.create_table(
        "sessions",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("owner", sa.String(length=200), nullable=False),
        sa.Column(
            "image_digest",
            sa.String(length=64),
            nullable=False,
            comment="no foreign key: an ended session outlives its image",
        ),
        sa.Column("model", sa.String(length=200), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("created", sa.Double(), nullable=False),
        sa.Column("used", sa.Double(), nullable=False),
        sa.Column("ended", sa.Double(), nullable=True),
        sa.Column("expired", sa.Integer(), nullable=False, comment="1: ended by itself"),
        sa.Column("request_id", sa.String(length=64), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_sessions"),
        sa.UniqueConstraint("owner", "request_id", name="uq_sessions_owner_request_id"),
    )
    op.create_index("ix_sessions_ended_used", "sessions", ["ended", "used"], unique=False)
    op.create_index("ix_sessions_image_digest_ended", "sessions", ["image_digest", "ended"], unique=False)
    op.create_index("ix_sessions_owner_ended_used", "sessions", ["owner", "ended", "used"], unique=False)
    op.create_table(
        "requests",
        sa.Column("session_id", sa.String(length=32), nullable=False),
        sa.Column("request_id", sa.String(length=64), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("segment", sa.Integer(), nullable=False),
        sa.Column(
            "head", sa.Integer(), nullable=False, comment="number of the segment's last step in force after the call"
        ),
        sa.ForeignKeyConstraint(["session_id"], ["sessions.id"], name="fk_requests_session_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("session_id", "request_id", name="pk_requests"),
    )
    op.create_table(
        "segments",
        sa.Column("session_id", sa.String(length=32), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("head", sa.Integer(), nullable=False, comment="number of the last step in force; 0: none"),
        sa.Column(
            "length",
            sa.Integer(),
            nullable=False,
            comment="number of the last step there is; those after head can be redone",
        ),
        sa.ForeignKeyConstraint(["session_id"], ["sessions.id"], name="fk_segments_session_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("session_id", "number", name="pk_segments"),
    )
    op.create_table(
        "steps",
        sa.Column("session_id", sa.String(length=32), nullable=False),
        sa.Column("segment", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column(
            "begun",
            sa.Integer(),
            nullable=False,
            comment="number of the step that began the object: this one, or an earlier",
        ),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("prompts", sa.LargeBinary(), nullable=False, comment="sixpoint.v1.AnnotateRequest, its prompts only"),
        sa.Column("model", sa.String(length=200), nullable=False),
        sa.Column("model_version", sa.String(length=64), nullable=False),
        sa.Column("created", sa.Double(), nullable=False),
        sa.Column("roi", sa.JSON(), nullable=False, comment="lower, upper, size: see sixpoint.roi.Roi"),
        sa.Column(
            "answer",
            sa.LargeBinary(),
            nullable=False,
            comment="zstd of probabilities in 255ths, uint8 [z, y, x] on the ROI",
        ),
        sa.ForeignKeyConstraint(
            ["session_id", "segment"],
            ["segments.session_id", "segments.number"],
            name="fk_steps_session_id_segment",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("session_id", "segment", "number", name="pk_steps"),
    )


def downgrade() -> None:
    """Undo it: everything kept in them is lost."""
    op.drop_table("steps")
    op.drop_table("segments")
    op.drop_table("requests")
    op.drop_index("ix_sessions_owner_ended_used", table_name="sessions")
    op.drop_index("ix_sessions_image_digest_ended", table_name="sessions")
    op.drop_index("ix_sessions_ended_used", table_name="sessions")
    op.drop_table("sessions")
    op.drop_index("ix_images_used", table_name="images")
    op.drop_index("ix_images_owner", table_name="images")
    op.drop_table("images")
    op.drop_table("clock")
