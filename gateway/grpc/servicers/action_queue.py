"""The actions of a viewer's stream that wait: in order, limited by their number and bytes, with prompts to join."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence

from gateway.grpc.messages.decoding import Received
from sixpoint.v1 import annotation_service_pb2 as annotation_pb

__all__ = ["Action", "ActionQueue", "join_prompts"]

# Two of the largest messages.
_MAX_WAITING_BYTES = 16 * 2**20

# A positive lasso starts an object only where there is none.
_STARTS = ("extreme_points", "box", "mask")

Action = Received[annotation_pb.InteractRequest]


class ActionQueue:
    """Actions that wait to be carried out, in order.

    Args:
        max_waiting: Number of actions that may wait; :meth:`put` blocks beyond that.
        max_bytes: Bytes of the actions that may wait, but for a single larger one.
    """

    def __init__(self, max_waiting: int, *, max_bytes: int = _MAX_WAITING_BYTES) -> None:
        self._max_waiting = max_waiting
        self._max_bytes = max_bytes
        self._bytes = 0
        self._waiting: deque[Action] = deque()
        self._ended = False
        self._changed = asyncio.Condition()

    async def put(self, action: Action) -> None:
        """Add an action; wait while the queue is full."""
        async with self._changed:
            await self._changed.wait_for(lambda: not self._waiting or self._has_room(action.nbytes))
            self._waiting.append(action)
            self._bytes += action.nbytes
            self._changed.notify_all()

    def _has_room(self, size: int) -> bool:
        return len(self._waiting) < self._max_waiting and self._bytes + size <= self._max_bytes

    async def end(self) -> None:
        """Mark the end: no more actions will be added."""
        async with self._changed:
            self._ended = True
            self._changed.notify_all()

    async def take(self) -> list[Action]:
        """Take the next action, with the prompts right behind it that can join it; empty after the last action."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._waiting or self._ended)
            group: list[Action] = []
            while self._waiting and (not group or _can_join(group, self._waiting[0])):
                group.append(self._waiting.popleft())
                self._bytes -= group[-1].nbytes
            self._changed.notify_all()
            return group


def join_prompts(group: Sequence[Action]) -> tuple[annotation_pb.InteractRequest, list[annotation_pb.Prompt]]:
    """Join prompts that waited together into one action: a prompt that starts an object replaces those before it.

    The action has the id of the last one, and the revision of the first one.

    Returns:
        The action without prompts, and its prompts: those of the actions themselves, since copying masks takes long.
    """
    first, last = group[0].content.annotate, group[-1].content.annotate
    joined = annotation_pb.AnnotateRequest(
        session_id=last.session_id,
        segment=last.segment,
        request_id=last.request_id,
        base_revision=last.base_revision,
        revision=next((each.revision for each in (first, last) if each.HasField("revision")), None),
    )
    prompts: list[annotation_pb.Prompt] = []
    for action in group:
        added = action.content.annotate.prompts
        if any(prompt.WhichOneof("kind") in _STARTS for prompt in added):
            prompts = []
        prompts += added
    return annotation_pb.InteractRequest(id=group[-1].content.id, annotate=joined), prompts


def _can_join(group: Sequence[Action], action: Action) -> bool:
    """Whether an action has prompts for the same segment as those before it, and repeats none of their calls."""
    before, following = [each.content for each in group], action.content
    if before[0].WhichOneof("action") != "annotate" or following.WhichOneof("action") != "annotate":
        return False
    a, b = before[0].annotate, following.annotate
    if b.request_id and b.request_id in {each.annotate.request_id for each in before}:
        return False
    return (a.session_id, a.segment or 1) == (b.session_id, b.segment or 1)
