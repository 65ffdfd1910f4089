"""Learning as callers see it: rules, where it is, what was decided, and rounds that begin."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from gateway.core.access import NO_AUDIT, Action, AuditEntry, Auditor, Principal, Role, check_role
from gateway.core.datasets import Page
from gateway.core.datasets.datasets import require_dataset
from gateway.core.jobs import JobRow, Jobs
from gateway.core.learning.records import LearningState, Stage, StoredDecision, StoredRules, TaskState
from gateway.core.learning.repository import LearningReader, LearningRepository, LearningWriter
from gateway.core.sessions.listing import check_page_size
from sixpoint.errors import FailedPrecondition, InvalidArgument
from sixpoint.errors.shortening import quoted
from sixpoint.loop import Choice, Rules, Task, parse_rules

__all__ = ["Learning", "require_rules"]

KIND = "learn"
"""Name of the kind of jobs."""


class Learning:
    """The learning of all datasets of a gateway.

    Args:
        repository: Transactions of learning.
        jobs: All jobs: a round is one.
        auditor: Takes notes of what is read.
        now: Clock, in seconds since 1970.
    """

    def __init__(
        self,
        *,
        repository: LearningRepository,
        jobs: Jobs,
        auditor: Auditor = NO_AUDIT,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._repository = repository
        self._jobs = jobs
        self._auditor = auditor
        self._now = now

    async def set_rules(self, name: str, content: Mapping[str, Any], *, principal: Principal) -> LearningState:
        """Set the rules of a dataset. A round that has begun, and a trial, go on by those of their beginning.

        Raises:
            DatasetNotFound: There is no dataset of this name.
            InvalidArgument: A rule is unknown, or cannot be used.
            PermissionDenied: The caller is no admin: everybody of the tenant gets what rounds publish.
        """
        check_role(principal, Role.ADMIN)
        rules = parse_rules(content)
        stored = StoredRules(rules.model_dump(mode="json"), self._now(), principal.subject)

        def work(records: LearningWriter) -> LearningState:
            row = require_dataset(records.lock_dataset(name), name)
            records.set_rules(row.id, stored)
            records.audit(AuditEntry(principal, Action.CHANGE_LEARNING, row.id))
            return _state(records, row.id, stored)

        return await self._repository.write(work, tenant=principal.tenant)

    async def get(self, name: str, *, principal: Principal) -> LearningState:
        """Return the rules of a dataset, and where its learning is.

        Raises:
            DatasetNotFound: There is no dataset of this name.
            FailedPrecondition: It has no rules.
        """

        def work(records: LearningReader) -> tuple[str, LearningState]:
            row = require_dataset(records.dataset(name), name)
            return row.id, _state(records, row.id, require_rules(records.rules(row.id), name))

        dataset_id, state = await self._repository.read(work, tenant=principal.tenant)
        self._auditor.note(AuditEntry(principal, Action.READ_DATASET, dataset_id))
        return state

    async def decisions(
        self, name: str, *, principal: Principal, size: int = 0, token: str = ""
    ) -> Page[StoredDecision]:
        """List the decisions of a dataset in their order.

        Raises:
            DatasetNotFound: There is no dataset of this name.
            InvalidArgument: The size is out of range, or the token is unknown.
        """
        limit = check_page_size(size)
        if token and not (token.isascii() and token.isdecimal() and len(token) < 10):
            raise InvalidArgument("unknown page token; expected that of the page before, or none for the first page")

        def work(records: LearningReader) -> tuple[str, list[StoredDecision]]:
            row = require_dataset(records.dataset(name), name)
            return row.id, records.decisions(row.id, after=int(token or 0), limit=limit + 1)

        dataset_id, found = await self._repository.read(work, tenant=principal.tenant)
        self._auditor.note(AuditEntry(principal, Action.READ_DATASET, dataset_id))
        return Page(tuple(found[:limit]), str(found[limit - 1].number) if len(found) > limit else "")

    async def start_round(self, name: str, *, by_hand: bool, principal: Principal) -> JobRow:
        """Make a job that does what is due: it trains where enough was accepted, or decides about a trial.

        Args:
            name: Name of the dataset.
            by_hand: Whether to train whatever the rules say about when.
            principal: Who asks for it.

        Raises:
            DatasetNotFound: There is no dataset of this name.
            FailedPrecondition: It has no rules, or no worker runs such jobs.
            PermissionDenied: The caller may not publish the models of the rules.
            ResourceExhausted: Too many jobs of the tenant have not ended.
        """
        return await self._jobs.create(KIND, {"dataset": name, "by_hand": by_hand}, principal=principal)

    async def promote(self, name: str, *, task: Task, version: int, share: float, principal: Principal) -> JobRow:
        """Make a job that gives a version to a share of the sessions, 1 for all of them, or ends its trial with 0.

        Raises:
            SixpointError: As :meth:`start_round`; InvalidArgument if version or share cannot be used.
        """
        parameters = {"dataset": name, "action": "promote", "task": task, "version": version, "share": share}
        return await self._jobs.create(KIND, parameters, principal=principal)

    async def roll_back(self, name: str, *, task: Task, version: int | None, principal: Principal) -> JobRow:
        """Make a job that lets an earlier version serve again; without one, that which served before.

        Raises:
            SixpointError: As :meth:`start_round`; InvalidArgument if the version cannot be used.
        """
        parameters = {"dataset": name, "action": "roll_back", "task": task, "version": version}
        return await self._jobs.create(KIND, parameters, principal=principal)


def require_rules(rules: StoredRules | None, name: str) -> StoredRules:
    """Return the rules, if there are any.

    Raises:
        FailedPrecondition: There are none.
    """
    if rules is None:
        raise FailedPrecondition(f"dataset {quoted(name)} has no rules of learning; set them first")
    return rules


def _state(records: LearningReader, dataset_id: str, stored: StoredRules) -> LearningState:
    rules = parse_rules(stored.content)
    tasks = tuple(_task_state(records, dataset_id, rules, task) for task in rules.tasks)
    return LearningState(stored, tasks, records.count_decisions(dataset_id))


def _task_state(records: LearningReader, dataset_id: str, rules: Rules, task: Task) -> TaskState:
    found = records.last_decision(dataset_id, task)
    if found is None:
        return TaskState(task, rules.model_of(task), Stage.WAITING)
    last = found.decision
    published = records.last_decision(dataset_id, task, with_version=True)
    stage = Stage.WAITING
    if last.verdict.choice is Choice.TRAIN:
        stage = Stage.TRAINING
    elif last.verdict.choice is Choice.PUBLISH and last.rules.share_of(task) < 1:
        stage = Stage.TRIAL
    version = published.decision.version if published else ""
    return TaskState(task, rules.model_of(task), stage, last.round, version)
