"""Jobs: work that takes long, carried out by workers beside the gateway."""

from gateway.core.jobs.comparing import DraftComparer
from gateway.core.jobs.jobs import Jobs
from gateway.core.jobs.kinds import JobContext, JobKind, JobKinds, JobParameters
from gateway.core.jobs.programs import (
    DatasetFolders,
    EvaluateJobs,
    ProgramPlace,
    PublishJobs,
    TrainJobs,
    run_process,
)
from gateway.core.jobs.prompts_first import PatientInference, PromptWatch
from gateway.core.jobs.records import ENDED, JobCounts, JobCursor, JobLine, JobRow, JobState, Request
from gateway.core.jobs.repository import JobMaintenance, JobReader, JobRepository, JobUpkeep, JobWriter
from gateway.core.jobs.runner import JobRunner
from gateway.core.jobs.segmenting import SegmentJobs, SegmentParameters

__all__ = [
    "ENDED",
    "DatasetFolders",
    "DraftComparer",
    "EvaluateJobs",
    "JobContext",
    "JobCounts",
    "JobCursor",
    "JobKind",
    "JobKinds",
    "JobLine",
    "JobMaintenance",
    "JobParameters",
    "JobReader",
    "JobRepository",
    "JobRow",
    "JobRunner",
    "JobState",
    "JobUpkeep",
    "JobWriter",
    "Jobs",
    "PatientInference",
    "ProgramPlace",
    "PromptWatch",
    "PublishJobs",
    "Request",
    "SegmentJobs",
    "SegmentParameters",
    "TrainJobs",
    "run_process",
]
