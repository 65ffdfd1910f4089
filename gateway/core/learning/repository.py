"""What learning needs of the database, as interfaces that the storage implements."""

from __future__ import annotations

from typing import Protocol, TypeAlias

from gateway.core.access import AuditEntry
from gateway.core.datasets import DatasetRow
from gateway.core.learning.records import StoredDecision, StoredRules
from gateway.core.runtime.transactions import Repository
from sixpoint.loop import Decision, Task

__all__ = ["LearningReader", "LearningRepository", "LearningWriter"]


class LearningReader(Protocol):
    """Queries on the learning of one tenant's datasets, within one transaction."""

    def dataset(self, name: str) -> DatasetRow | None:
        """The dataset of this name."""
        ...

    def rules(self, dataset_id: str) -> StoredRules | None:
        """The rules of a dataset."""
        ...

    def decisions(self, dataset_id: str, *, after: int, limit: int | None) -> list[StoredDecision]:
        """Decisions of a dataset by number, behind a number; no limit: all."""
        ...

    def last_decision(self, dataset_id: str, task: Task, *, with_version: bool = False) -> StoredDecision | None:
        """The last decision about a task's model; with_version: the last one that is about a version."""
        ...

    def count_decisions(self, dataset_id: str) -> int:
        """Number of decisions of a dataset."""
        ...


class LearningWriter(LearningReader, Protocol):
    """Queries and changes of the learning of one tenant's datasets, within one transaction."""

    def lock_dataset(self, name: str) -> DatasetRow | None:
        """The dataset of this name; until this transaction ends, no other one locks the name."""
        ...

    def set_rules(self, dataset_id: str, rules: StoredRules) -> None:
        """Set the rules of a dataset."""
        ...

    def append_decision(self, dataset_id: str, number: int, decision: Decision) -> None:
        """Add a decision to the record of a dataset."""
        ...

    def audit(self, entry: AuditEntry) -> None:
        """Write an entry to the audit log, as the last change of the transaction."""
        ...


LearningRepository: TypeAlias = Repository[LearningReader, LearningWriter]
"""Transactions of learning."""
