"""Jobs that are programs of their own: they train a model on a dataset, measure it, and publish it."""

from gateway.core.jobs.programs.dataset_folders import DatasetFolders
from gateway.core.jobs.programs.evaluating import EvaluateJobs
from gateway.core.jobs.programs.place import ProgramPlace
from gateway.core.jobs.programs.processes import run_process
from gateway.core.jobs.programs.publishing import PublishJobs, check_may_publish
from gateway.core.jobs.programs.training import TrainJobs

__all__ = [
    "DatasetFolders",
    "EvaluateJobs",
    "ProgramPlace",
    "PublishJobs",
    "TrainJobs",
    "check_may_publish",
    "run_process",
]
