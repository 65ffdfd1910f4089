"""Rules and decisions of datasets, in SQL."""

from __future__ import annotations

from sqlalchemy import delete, func, insert, select

from gateway.core.learning import StoredDecision, StoredRules
from gateway.storage.datasets.dataset_changes import SqlDatasetWriter
from gateway.storage.datasets.dataset_queries import SqlDatasetReader
from gateway.storage.datasets.learning_tables import decisions, learning_rules
from sixpoint.loop import Decision, Task

__all__ = ["SqlLearningReader", "SqlLearningWriter"]


class SqlLearningReader(SqlDatasetReader):
    """A :class:`gateway.core.learning.LearningReader` in a tenant's scope."""

    def rules(self, dataset_id: str) -> StoredRules | None:
        """The rules of a dataset."""
        columns = learning_rules.c
        query = select(columns.content, columns.changed, columns.changed_by)
        found = self._scope.execute(query.where(self._scope.of(learning_rules), columns.dataset_id == dataset_id))
        row = found.one_or_none()
        return StoredRules(**row._mapping) if row else None

    def decisions(self, dataset_id: str, *, after: int, limit: int | None) -> list[StoredDecision]:
        """Decisions of a dataset by number, behind a number; no limit: all."""
        columns = decisions.c
        query = select(columns.number, columns.content).where(
            self._scope.of(decisions), columns.dataset_id == dataset_id, columns.number > after
        )
        rows = self._scope.execute(query.order_by(columns.number).limit(limit))
        return [StoredDecision(row.number, Decision.model_validate(row.content)) for row in rows]

    def last_decision(self, dataset_id: str, task: Task, *, with_version: bool = False) -> StoredDecision | None:
        """The last decision about a task's model; with_version: the last one that is about a version."""
        columns = decisions.c
        query = select(columns.number, columns.content).where(
            self._scope.of(decisions), columns.dataset_id == dataset_id, columns.task == task
        )
        if with_version:
            query = query.where(columns.version != "")
        row = self._scope.execute(query.order_by(columns.number.desc()).limit(1)).one_or_none()
        return StoredDecision(row.number, Decision.model_validate(row.content)) if row else None

    def count_decisions(self, dataset_id: str) -> int:
        """Number of decisions of a dataset."""
        query = select(func.count()).where(self._scope.of(decisions), decisions.c.dataset_id == dataset_id)
        return int(self._scope.execute(query).scalar_one())


class SqlLearningWriter(SqlDatasetWriter, SqlLearningReader):
    """A :class:`gateway.core.learning.LearningWriter` in a tenant's scope."""

    def set_rules(self, dataset_id: str, rules: StoredRules) -> None:
        """Set the rules of a dataset."""
        where = (self._scope.of(learning_rules), learning_rules.c.dataset_id == dataset_id)
        self._scope.execute(delete(learning_rules).where(*where))
        self._scope.execute(
            insert(learning_rules).values(
                dataset_id=dataset_id,
                content=dict(rules.content),
                changed=rules.changed,
                changed_by=rules.changed_by,
            )
        )

    def append_decision(self, dataset_id: str, number: int, decision: Decision) -> None:
        """Add a decision to the record of a dataset."""
        self._scope.execute(
            insert(decisions).values(
                dataset_id=dataset_id,
                number=number,
                task=decision.task,
                version=decision.version,
                content=decision.model_dump(mode="json"),
            )
        )
