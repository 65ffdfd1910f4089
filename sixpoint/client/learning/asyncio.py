"""Learning on the gateway, for asyncio programs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sixpoint.client._operations.client import ClientOperations
from sixpoint.client._operations.learning import LearningOperations
from sixpoint.client._transport.driver import AsyncDriver
from sixpoint.client.job_models import JobInfo
from sixpoint.client.learning_models import LearningDecision, LearningInfo

__all__ = ["AsyncLearning"]


class AsyncLearning:
    """Models that learn from what people accepted in datasets, by rules. ``client.learning`` is one.

    Args:
        driver: Makes the calls.
        operations: The operations of the client.
    """

    def __init__(self, driver: AsyncDriver, operations: ClientOperations) -> None:
        self._driver = driver
        self._operations = LearningOperations(operations)

    async def set_rules(self, dataset: str, rules: Mapping[str, Any]) -> LearningInfo:
        """Set the rules of a dataset, which take the place of all earlier ones.

        Args:
            dataset: Name of the dataset.
            rules: The rules, as :class:`sixpoint.loop.Rules` takes them; what is left out has its default.

        Raises:
            DatasetNotFound: There is no such dataset.
            InvalidArgument: A rule is unknown, or cannot be used.
            PermissionDenied: The caller is no admin.
        """
        return await self._driver.run(self._operations.set_rules(dataset, rules))

    async def get(self, dataset: str) -> LearningInfo:
        """Return the rules of a dataset, and where its learning is.

        Raises:
            DatasetNotFound: There is no such dataset.
            FailedPrecondition: It has no rules.
        """
        return await self._driver.run(self._operations.get(dataset))

    async def decisions(self, dataset: str) -> list[LearningDecision]:
        """List the decisions of a dataset in their order.

        Raises:
            DatasetNotFound: There is no such dataset.
        """
        return await self._driver.run(self._operations.decisions(dataset))

    async def start_round(self, dataset: str, *, by_hand: bool = False) -> JobInfo:
        """Make a job that does what is due: it trains and publishes, or decides about a trial.

        Args:
            dataset: Name of the dataset.
            by_hand: Whether to train whatever the rules say about when.

        Raises:
            DatasetNotFound: There is no such dataset.
            FailedPrecondition: It has no rules, or no worker runs such jobs.
            PermissionDenied: The caller may not publish the models of the rules.
            ResourceExhausted: Too many jobs have not ended.
        """
        return await self._driver.run(self._operations.start_round(dataset, by_hand=by_hand))

    async def promote(self, dataset: str, version: str, *, task: str = "annotation", share: float = 1.0) -> JobInfo:
        """Make a job that gives a version to a share of the sessions.

        Args:
            dataset: Name of the dataset, whose rules name the model.
            version: Number of the version.
            task: Task of the model: "annotation" or "segmentation".
            share: Share of the sessions: 1 for all, 0 to end its trial.

        Raises:
            SixpointError: As for :meth:`start_round`; InvalidArgument if version or share cannot be used.
        """
        return await self._driver.run(self._operations.promote(dataset, version, task=task, share=share))

    async def roll_back(self, dataset: str, *, task: str = "annotation", version: str = "") -> JobInfo:
        """Make a job that lets an earlier version serve again.

        Args:
            dataset: Name of the dataset, whose rules name the model.
            task: Task of the model: "annotation" or "segmentation".
            version: Number of the version; empty for the one that served before.

        Raises:
            SixpointError: As for :meth:`start_round`; InvalidArgument if the version cannot be used.
        """
        return await self._driver.run(self._operations.roll_back(dataset, task=task, version=version))
