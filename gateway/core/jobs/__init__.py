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
    check_may_publish,
    run_process,
)
from gateway.core.jobs.prompts_first import PatientInference, PromptWatch
from gateway.core.jobs.records import ENDED, SILENT_SECONDS, JobCounts, JobCursor, JobLine, JobRow, JobState, Request
from gateway.core.jobs.repository import (
    JobMaintenance,
    JobQueue,
    JobReader,
    JobRepository,
    JobUpkeep,
    JobWriter,
    UnfinishedJob,
)
from gateway.core.jobs.runner import JobRunner
from gateway.core.jobs.segmenting import SegmentJobs, SegmentParameters
from gateway.core.jobs.sweep import JobSweep
from gateway.core.jobs.transfers import ExportJobs, ImportJobs

__all__ = [
    "ENDED",
    "SILENT_SECONDS",
    "DatasetFolders",
    "DraftComparer",
    "EvaluateJobs",
    "ExportJobs",
    "ImportJobs",
    "JobContext",
    "JobCounts",
    "JobCursor",
    "JobKind",
    "JobKinds",
    "JobLine",
    "JobMaintenance",
    "JobParameters",
    "JobQueue",
    "JobReader",
    "JobRepository",
    "JobRow",
    "JobRunner",
    "JobState",
    "JobSweep",
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
    "UnfinishedJob",
    "check_may_publish",
    "run_process",
]
