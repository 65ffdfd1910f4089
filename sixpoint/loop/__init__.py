"""The circle of learning: when to train on what people accepted, whether the result may serve, and what was decided."""

from sixpoint.loop.decisions import Choice, Decision, Kind, Verdict, decide, replay
from sixpoint.loop.programs import Programs
from sixpoint.loop.record import DECISIONS, FileRecord, Record, append_decision, read_decisions
from sixpoint.loop.rounds import Learning
from sixpoint.loop.rules import Rules, Task, parse_rules, read_rules

__all__ = [
    "DECISIONS",
    "Choice",
    "Decision",
    "FileRecord",
    "Kind",
    "Learning",
    "Programs",
    "Record",
    "Rules",
    "Task",
    "Verdict",
    "append_decision",
    "decide",
    "parse_rules",
    "read_decisions",
    "read_rules",
    "replay",
]
