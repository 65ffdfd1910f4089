"""Learning: the rules of a dataset by which models learn from it, rounds of learning, and what they decided."""

from gateway.core.learning.learning import Learning
from gateway.core.learning.records import LearningState, Stage, StoredDecision, StoredRules, TaskState
from gateway.core.learning.repository import LearningReader, LearningRepository, LearningWriter
from gateway.core.learning.rounds import LearnJobs, LearnParameters, StartJob

__all__ = [
    "LearnJobs",
    "LearnParameters",
    "Learning",
    "LearningReader",
    "LearningRepository",
    "LearningState",
    "LearningWriter",
    "Stage",
    "StartJob",
    "StoredDecision",
    "StoredRules",
    "TaskState",
]
