"""The actions of a viewer's stream that wait: in order, limited by their number and bytes, with prompts to join."""

from __future__ import annotations

import asyncio
from collections import deque

from sixpoint.v1 import annotation_service_pb2 as annotation_pb

__all__ = ["ActionQueue", "Actions", "join_prompts"]

# Two of the largest messages; joining what waits copies it.
_MAX_WAITING_BYTES = 16 * 2**20

Actions = list[annotation_pb.InteractRequest]


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
        self._waiting: deque[annotation_pb.InteractRequest] = deque()
        self._ended = False
        self._changed = asyncio.Condition()

    async def put(self, action: annotation_pb.InteractRequest) -> None:
        """Add an action; wait while the queue is full."""
        size = action.ByteSize()
        async with self._changed:
            await self._changed.wait_for(lambda: not self._waiting or self._has_room(size))
            self._waiting.append(action)
            self._bytes += size
            self._changed.notify_all()

    def _has_room(self, size: int) -> bool:
        return len(self._waiting) < self._max_waiting and self._bytes + size <= self._max_bytes

    async def end(self) -> None:
        """Mark the end: no more actions will be added."""
        async with self._changed:
            self._ended = True
            self._changed.notify_all()

    async def take(self) -> Actions:
        """Take the next action, with the prompts right behind it that can join it; empty after the last action."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._waiting or self._ended)
            group: Actions = []
            while self._waiting and (not group or _can_join(group, self._waiting[0])):
                group.append(self._waiting.popleft())
                self._bytes -= group[-1].ByteSize()
            self._changed.notify_all()
            return group


def join_prompts(group: Actions) -> annotation_pb.InteractRequest:
    """Join prompts that waited together into one action: a prompt that starts an object replaces those before it.

    The action has the id of the last one, and the revision of the first one.
    """
    first, last = group[0].annotate, group[-1].annotate
    joined = annotation_pb.InteractRequest(id=group[-1].id)
    joined.annotate.CopyFrom(last)
    if first.HasField("revision"):
        joined.annotate.revision = first.revision
    prompts: list[annotation_pb.Prompt] = []
    for action in group:
        if any(prompt.WhichOneof("kind") != "click" for prompt in action.annotate.prompts):
            prompts = []
        prompts += action.annotate.prompts
    del joined.annotate.prompts[:]
    joined.annotate.prompts.extend(prompts)
    return joined


def _can_join(group: Actions, following: annotation_pb.InteractRequest) -> bool:
    """Whether a following action has prompts for the same segment as the group, and repeats none of its calls."""
    if group[0].WhichOneof("action") != "annotate" or following.WhichOneof("action") != "annotate":
        return False
    a, b = group[0].annotate, following.annotate
    if b.request_id and b.request_id in {action.annotate.request_id for action in group}:
        return False
    return (a.session_id, a.segment or 1) == (b.session_id, b.segment or 1)
