"""Jobs, and the lines that they write."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Make them."""
    tenant = ("tenant", sa.String(length=63))
    op.create_table(
        "jobs",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column(*tenant, server_default=sa.text("'default'"), nullable=False),
        sa.Column("owner", sa.String(length=200), nullable=False),
        sa.Column("role", sa.Integer(), nullable=False, comment="role of the owner when it was made"),
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.Column("parameters", sa.JSON(), nullable=False),
        sa.Column("state", sa.String(length=10), nullable=False),
        sa.Column(
            "request",
            sa.String(length=10),
            nullable=False,
            comment="pause or cancel, asked of a running job; else empty",
        ),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("done", sa.Double(), nullable=False),
        sa.Column("total", sa.Double(), nullable=False, comment="0 while unknown"),
        sa.Column("note", sa.String(length=500), nullable=False),
        sa.Column("error", sa.String(length=4000), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False, comment="times that a worker took it"),
        sa.Column(
            "failures", sa.Integer(), nullable=False, comment="attempts without progress, since the last progress"
        ),
        sa.Column("created", sa.Double(), nullable=False),
        sa.Column("started", sa.Double(), nullable=False, comment="when a worker took it last"),
        sa.Column("started_done", sa.Double(), nullable=False, comment="what was done then"),
        sa.Column("ended", sa.Double(), nullable=False, comment="0 before"),
        sa.Column("not_before", sa.Double(), nullable=False, comment="no worker takes it before"),
        sa.Column("worker", sa.String(length=32), nullable=False, comment="empty without one"),
        sa.Column("lease", sa.Double(), nullable=False, comment="the worker has it until then"),
        sa.PrimaryKeyConstraint("id", name="pk_jobs"),
    )
    op.create_index("ix_jobs_state_not_before", "jobs", ["state", "not_before"])
    op.create_index("ix_jobs_tenant_created_id", "jobs", ["tenant", "created", "id"])
    op.create_table(
        "job_lines",
        sa.Column(*tenant, server_default=sa.text("'default'"), nullable=False),
        sa.Column("job_id", sa.String(length=32), nullable=False),
        sa.Column(
            "number", sa.Integer(), nullable=False, comment="1, 2, 3, ... of each job; the first ones may be gone"
        ),
        sa.Column("time", sa.Double(), nullable=False),
        sa.Column("text", sa.String(length=500), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name="fk_job_lines_job_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("job_id", "number", name="pk_job_lines"),
    )
    op.create_table(
        "heartbeats",
        sa.Column("name", sa.String(length=40), nullable=False),
        sa.Column("time", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_heartbeats"),
    )


def downgrade() -> None:
    """Undo it."""
    for table in ("heartbeats", "job_lines", "jobs"):
        op.drop_table(table)
