"""The tables of learning."""

from __future__ import annotations

from sqlalchemy import JSON, Column, Double, ForeignKey, Integer, String, Table

from gateway.storage.schema import metadata, tenant_column

__all__ = ["decisions", "learning_rules"]

learning_rules = Table(
    "learning_rules",
    metadata,
    tenant_column(),
    Column("dataset_id", String(32), ForeignKey("datasets.id", ondelete="CASCADE"), primary_key=True),
    Column("content", JSON, nullable=False, comment="as sixpoint.loop.Rules"),
    Column("changed", Double, nullable=False),
    Column("changed_by", String(200), nullable=False),
)
"""Rules of datasets, by which models learn from them."""

decisions = Table(
    "learning_decisions",
    metadata,
    tenant_column(),
    Column("dataset_id", String(32), ForeignKey("datasets.id", ondelete="CASCADE"), primary_key=True),
    Column("number", Integer, primary_key=True, comment="1, 2, 3, ... of each dataset"),
    Column("task", String(32), nullable=False),
    Column("version", String(64), nullable=False, comment="that it is about; empty without one"),
    Column("content", JSON, nullable=False, comment="as sixpoint.loop.Decision"),
)
"""What was decided, with the figures and the rules. Rows are only added."""
