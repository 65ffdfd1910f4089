"""The tables of the database. The migrations create them; a test compares the two."""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    Double,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    UniqueConstraint,
    text,
)

__all__ = [
    "audit",
    "audit_heads",
    "clock",
    "images",
    "metadata",
    "requests",
    "segments",
    "sessions",
    "shared_steps",
    "steps",
    "tenant_column",
    "turns",
]


def tenant_column() -> Column[str]:
    """The tenant that a row belongs to."""
    return Column("tenant", String(63), nullable=False, server_default=text("'default'"))


metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

images = Table(
    "images",
    metadata,
    Column("tenant", String(63), primary_key=True, server_default=text("'default'")),
    Column("digest", String(64), primary_key=True),
    Column("geometry", JSON, nullable=False, comment="size, spacing, origin, direction, as sixpoint.v1.Geometry"),
    Column("voxel_type", Integer, nullable=False),
    Column("byte_count", BigInteger, nullable=False),
    Column("owner", String(200), nullable=False),
    Column("created", Double, nullable=False, comment="seconds since 1970, UTC, as all times here"),
    Column("used", Double, nullable=False),
    Index(None, "used"),
    Index(None, "tenant", "owner"),
)
"""Images whose voxels are whole in the blob store."""

sessions = Table(
    "sessions",
    metadata,
    Column("id", String(32), primary_key=True),
    tenant_column(),
    Column("owner", String(200), nullable=False),
    Column("image_digest", String(64), nullable=False, comment="no foreign key: an ended session outlives its image"),
    Column("model", String(200), nullable=False),
    Column("revision", BigInteger, nullable=False),
    Column("created", Double, nullable=False),
    Column("used", Double, nullable=False),
    Column("ended", Double, nullable=True),
    Column("expired", Integer, nullable=False, comment="1: ended by itself"),
    Column("request_id", String(64), nullable=True),
    Column(
        "step_count",
        Integer,
        nullable=False,
        server_default=text("0"),
        comment="steps of all segments, shared ones too",
    ),
    Column(
        "log_bytes", BigInteger, nullable=False, server_default=text("0"), comment="bytes that its own log takes here"
    ),
    UniqueConstraint("owner", "request_id"),
    Index(None, "ended", "used"),
    Index(None, "tenant", "owner", "ended", "used"),
    Index(None, "tenant", "image_digest", "ended"),
)
"""Sessions. Ended ones stay for a while, to answer "expired" rather than "unknown"."""

segments = Table(
    "segments",
    metadata,
    tenant_column(),
    Column("session_id", String(32), ForeignKey("sessions.id", ondelete="CASCADE"), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("name", String(200), nullable=False),
    Column("head", Integer, nullable=False, comment="number of the last step in force; 0: none"),
    Column(
        "length", Integer, nullable=False, comment="number of the last step there is; those after head can be redone"
    ),
    Column(
        "number_offset",
        Integer,
        nullable=False,
        server_default=text("0"),
        comment="what steps.number of its own steps is higher than their number in the segment",
    ),
)
"""Segments: the labelled objects of a session."""

steps = Table(
    "steps",
    metadata,
    tenant_column(),
    Column("session_id", String(32), primary_key=True),
    Column("segment", Integer, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column(
        "begun",
        Integer,
        key="start_step",
        nullable=False,
        comment="number of the step that began the object: this one, or an earlier",
    ),
    Column("revision", BigInteger, nullable=False),
    Column("prompts", LargeBinary, nullable=False, comment="sixpoint.v1.AnnotateRequest, its prompts only"),
    Column("model", String(200), nullable=False),
    Column("model_version", String(64), nullable=False),
    Column("created", Double, nullable=False),
    Column("roi", JSON, nullable=False, comment="lower, upper, size: see sixpoint.roi.Roi"),
    Column("threshold", Double, nullable=False, comment="probability from which on a voxel belongs to the object"),
    Column(
        "answer", LargeBinary, nullable=False, comment="zstd of probabilities in 255ths, uint8 [z, y, x] on the ROI"
    ),
    ForeignKeyConstraint(["session_id", "segment"], ["segments.session_id", "segments.number"], ondelete="CASCADE"),
)
"""Steps: prompts, and the answer to them. Rows never change; forks share them."""

shared_steps = Table(
    "shared_steps",
    metadata,
    tenant_column(),
    Column("session_id", String(32), primary_key=True),
    Column("segment", Integer, primary_key=True),
    Column("first", Integer, primary_key=True, comment="number in the segment of the first shared step"),
    Column("last", Integer, nullable=False, comment="number in the segment of the last shared step"),
    Column("source_id", String(32), nullable=False, comment="session whose rows of steps they are"),
    Column("number_offset", Integer, nullable=False, comment="what steps.number is higher than the number"),
    ForeignKeyConstraint(["session_id", "segment"], ["segments.session_id", "segments.number"], ondelete="CASCADE"),
    # No cascade: the segment of a session that ended stays while another session shares its steps.
    ForeignKeyConstraint(["source_id", "segment"], ["segments.session_id", "segments.number"]),
    Index(None, "source_id", "segment"),
)
"""Steps of a segment that are rows of another session, from which it was forked, or of its own before it went back."""

requests = Table(
    "requests",
    metadata,
    tenant_column(),
    Column("session_id", String(32), ForeignKey("sessions.id", ondelete="CASCADE"), primary_key=True),
    Column("request_id", String(64), primary_key=True),
    Column("revision", BigInteger, nullable=False),
    Column("segment", Integer, nullable=False),
    Column("head", Integer, nullable=False, comment="number of the segment's last step in force after the call"),
)
"""Calls that changed a session, for when one is repeated with the same request id."""

turns = Table(
    "turns",
    metadata,
    tenant_column(),
    Column("session_id", String(32), ForeignKey("sessions.id", ondelete="CASCADE"), primary_key=True),
    Column("holder", String(32), nullable=False, comment="random name of a gateway process"),
    Column("until", Double, nullable=False),
)
"""The gateway whose call is next on a session, since another one overtook it."""

clock = Table(
    "clock",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("ticked", Double, nullable=False),
)
"""When a gateway last looked for expired sessions: idle time counts only while one runs, and clocks may jump."""

audit = Table(
    "audit",
    metadata,
    Column("tenant", String(63), primary_key=True, comment="empty for calls whose caller is not known"),
    Column("number", BigInteger, primary_key=True, autoincrement=False, comment="1, 2, 3, ... in each tenant"),
    Column("time", Double, nullable=False),
    Column("subject", String(200), nullable=False),
    Column("role", String(20), nullable=False),
    Column("method", String(10), nullable=False, comment="how the caller proved who it is"),
    Column("peer", String(64), nullable=False),
    Column("action", String(40), nullable=False),
    Column("object", String(100), nullable=False),
    Column("source", String(64), nullable=False),
    Column("outcome", String(40), nullable=False),
    Column("count", BigInteger, nullable=False, comment="times that it happened since the entry before"),
    Column("hash", String(64), nullable=False, comment="SHA-256 of the entry and of the hash before it"),
    Index(None, "time"),
)
"""The audit log. Rows are only added, and removed from its beginning after the time that a setting names."""

audit_heads = Table(
    "audit_heads",
    metadata,
    Column("tenant", String(63), primary_key=True),
    Column("number", BigInteger, nullable=False, comment="number of the last entry"),
    Column("hash", String(64), nullable=False, comment="hash of the last entry"),
    Column("removed", BigInteger, nullable=False, comment="number of the last entry that was removed for its age"),
    Column("removed_hash", String(64), nullable=False, comment="its hash, from which the rest goes on"),
)
"""Where the log of each tenant begins and ends."""
