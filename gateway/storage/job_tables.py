"""The tables of jobs."""

from __future__ import annotations

from sqlalchemy import JSON, Column, Double, ForeignKey, Index, Integer, String, Table

from gateway.storage.schema import metadata, tenant_column

__all__ = ["heartbeats", "job_lines", "jobs"]

jobs = Table(
    "jobs",
    metadata,
    Column("id", String(32), primary_key=True),
    tenant_column(),
    Column("owner", String(200), nullable=False),
    Column("role", Integer, nullable=False, comment="role of the owner when it was made"),
    Column("kind", String(40), nullable=False),
    Column("parameters", JSON, nullable=False),
    Column("state", String(10), nullable=False),
    Column("request", String(10), nullable=False, comment="pause or cancel, asked of a running job; else empty"),
    Column("priority", Integer, nullable=False),
    Column("done", Double, nullable=False),
    Column("total", Double, nullable=False, comment="0 while unknown"),
    Column("note", String(500), nullable=False),
    Column("error", String(4000), nullable=False),
    Column("attempt", Integer, nullable=False, comment="times that a worker took it"),
    Column("failures", Integer, nullable=False, comment="attempts without progress, since the last progress"),
    Column("created", Double, nullable=False),
    Column("started", Double, nullable=False, comment="when a worker took it last"),
    Column("started_done", Double, nullable=False, comment="what was done then"),
    Column("ended", Double, nullable=False, comment="0 before"),
    Column("not_before", Double, nullable=False, comment="no worker takes it before"),
    Column("worker", String(32), nullable=False, comment="empty without one"),
    Column("run", String(32), server_default="", nullable=False, comment="its entry in the queue; empty without one"),
    Index(None, "state", "not_before"),
    Index(None, "tenant", "created", "id"),
)
"""Jobs of all kinds."""

job_lines = Table(
    "job_lines",
    metadata,
    tenant_column(),
    Column("job_id", String(32), ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
    Column("number", Integer, primary_key=True, comment="1, 2, 3, ... of each job; the first ones may be gone"),
    Column("time", Double, nullable=False),
    Column("text", String(500), nullable=False),
)
"""Lines that jobs write for people."""

heartbeats = Table(
    "heartbeats",
    metadata,
    Column("name", String(40), primary_key=True),
    Column("time", Double, nullable=False),
)
"""When something happened last: "prompt" while a job runs, "sweep", and "worker/ID" is alive."""
