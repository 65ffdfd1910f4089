"""Jobs on the gateway, for blocking programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sixpoint.client._operations.client import ClientOperations
from sixpoint.client._operations.jobs import JobCallback, JobOperations
from sixpoint.client._transport.driver import Driver
from sixpoint.client.job_models import JobInfo, JobLine

__all__ = ["Jobs"]


class Jobs:
    """Jobs: work that takes long, which goes on without the client. ``client.jobs`` is one.

    Args:
        driver: Makes the calls.
        operations: The operations of the client.
    """

    def __init__(self, driver: Driver, operations: ClientOperations) -> None:
        self._driver = driver
        self._operations = JobOperations(operations)

    def create(self, kind: str, parameters: Mapping[str, Any], *, priority: int = 0) -> JobInfo:
        """Make a job; a worker takes it soon.

        Args:
            kind: Name of its kind, such as "segment".
            parameters: Its parameters, as the kind takes them: what JSON has.
            priority: Jobs with a higher one go first, -100 to 100.

        Raises:
            InvalidArgument: There is no such kind, or the parameters or the priority cannot be used.
            ResourceExhausted: Too many jobs have not ended.
        """
        return self._driver.run(self._operations.create(kind, parameters, priority=priority))

    def segment(
        self,
        dataset: str,
        model: str,
        *,
        labels: Sequence[str] = (),
        digests: Sequence[str] = (),
        split: str = "",
        score_all: bool = False,
        compare_with: str = "",
        priority: int = 0,
    ) -> JobInfo:
        """Make a job that segments the images of a dataset, and saves the masks as drafts.

        Images that have a draft of the model's version, or that somebody has annotated, are left as they are.
        With each draft is kept how uncertain the model was, for the strategies of ``datasets.next_image``.

        Args:
            dataset: Name of the dataset.
            model: Name of a model that needs no prompts.
            labels: Labels of the drafts; empty for all that the model and the dataset have.
            digests: Only these images of the dataset; empty for all.
            split: Only images for "training", "validation" or "test".
            score_all: Whether images that get no draft are segmented, too, if they lack a score.
            compare_with: Name of a model that takes extreme points, with which each draft is compared, for the strategy
                "disagreement"; empty for none.
            priority: Jobs with a higher one go first, -100 to 100.

        Raises:
            DatasetNotFound: There is no such dataset.
            ModelNotFound: There is no such model.
            TaskNotSupported: The model needs prompts.
            DatasetError: Model and dataset have no label in common, or the dataset does not have an image.
            ResourceExhausted: Too many jobs have not ended.
        """
        parameters = {
            "dataset": dataset,
            "model": model,
            "labels": [*labels],
            "digests": [*digests],
            **({"split": split} if split else {}),
            **({"score_all": True} if score_all else {}),
            **({"compare_with": compare_with} if compare_with else {}),
        }
        return self.create("segment", parameters, priority=priority)

    def get(self, job_id: str) -> JobInfo:
        """Describe a job.

        Raises:
            JobNotFound: There is none of this id.
        """
        return self._driver.run(self._operations.get(job_id))

    def all(self, *, state: str = "") -> list[JobInfo]:
        """List jobs, the latest first.

        Args:
            state: Only those in this state: "queued", "running", "paused", "succeeded", "failed" or "cancelled".
        """
        return self._driver.run(self._operations.all(state=state))

    def watch(self, job_id: str, *, on_change: JobCallback | None = None, seconds: float | None = None) -> JobInfo:
        """Wait until a job has ended or is paused, and return it.

        Args:
            job_id: Id of the job.
            on_change: Called with the job now, and whenever it has changed.
            seconds: Seconds to wait at most; None for as long as it takes.

        Raises:
            JobNotFound: There is none of this id.
            DeadlineExceeded: It has not ended in time; it goes on.
        """
        return self._driver.run(self._operations.watch(job_id, on_change=on_change, seconds=seconds))

    def cancel(self, job_id: str) -> JobInfo:
        """Cancel a job; a running one ends within seconds. What it saved stays.

        Raises:
            JobNotFound: There is none of this id.
            FailedPrecondition: It has ended.
        """
        return self._driver.run(self._operations.cancel(job_id))

    def pause(self, job_id: str) -> JobInfo:
        """Pause a job; a running one stops within seconds.

        Raises:
            JobNotFound: There is none of this id.
            FailedPrecondition: It has ended.
        """
        return self._driver.run(self._operations.pause(job_id))

    def resume(self, job_id: str) -> JobInfo:
        """Let a job go on that was paused, or that failed. What is done is not done again.

        Raises:
            JobNotFound: There is none of this id.
            FailedPrecondition: It was cancelled, or has succeeded.
        """
        return self._driver.run(self._operations.resume(job_id))

    def lines(self, job_id: str, *, after: int = 0) -> list[JobLine]:
        """List the lines that a job has written.

        Args:
            job_id: Id of the job.
            after: Only lines with a higher number.

        Raises:
            JobNotFound: There is none of this id.
        """
        return self._driver.run(self._operations.lines(job_id, after=after))
