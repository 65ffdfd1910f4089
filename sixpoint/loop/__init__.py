"""The circle of learning: when to train on what people accepted, whether the result may serve, and what was decided."""

from sixpoint.loop.decisions import Choice, Decision, Kind, Verdict, decide, replay
from sixpoint.loop.record import DECISIONS, append_decision, read_decisions
from sixpoint.loop.rounds import Learning
from sixpoint.loop.rules import Rules, read_rules

__all__ = [
    "DECISIONS",
    "Choice",
    "Decision",
    "Kind",
    "Learning",
    "Rules",
    "Verdict",
    "append_decision",
    "decide",
    "read_decisions",
    "read_rules",
    "replay",
]
