"""Fairness: the machine is shared by owners, whatever number of calls each of them sends."""

from gateway.core.runtime.fairness.budget import FairBudget
from gateway.core.runtime.fairness.byte_turns import ByteTurns
from gateway.core.runtime.fairness.executor import FairExecutor
from gateway.core.runtime.fairness.owner import acting_for, current_owner
from gateway.core.runtime.fairness.pace import Pace
from gateway.core.runtime.fairness.places import Place, Places, leaves_room
from gateway.core.runtime.fairness.refusal_pause import refusal_pause
from gateway.core.runtime.fairness.transfers import Transfers
from gateway.core.runtime.fairness.turns import Turns

__all__ = [
    "ByteTurns",
    "FairBudget",
    "FairExecutor",
    "Pace",
    "Place",
    "Places",
    "Transfers",
    "Turns",
    "acting_for",
    "current_owner",
    "leaves_room",
    "refusal_pause",
]
