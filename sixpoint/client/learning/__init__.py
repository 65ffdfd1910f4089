"""Learning on the gateway: blocking, and for asyncio."""

from sixpoint.client.learning.asyncio import AsyncLearning
from sixpoint.client.learning.blocking import Learning
from sixpoint.client.learning_models import LearningDecision, LearningInfo, ModelLearning

__all__ = ["AsyncLearning", "Learning", "LearningDecision", "LearningInfo", "ModelLearning"]
