"""A gateway that looks at the tokens of its calls."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import grpc

from sixpoint import errors
from sixpoint.v1 import annotation_service_pb2 as annotation_pb
from tests.sixpoint.client.fake_gateway import DrawingGateway

__all__ = ["GuardedGateway"]


class GuardedGateway(DrawingGateway):
    """Records the header ``authorization`` of each call, and refuses those that a test does not accept.

    Attributes:
        headers: Name and headers ``authorization`` of each call.
        accepts: Says whether it accepts a token, empty for none, with a call of this name.
    """

    def __init__(self) -> None:
        super().__init__()
        self.headers: list[tuple[str, list[str]]] = []
        self.accepts: Callable[[str, str], bool] = lambda name, token: True

    @property
    def tokens(self) -> set[str]:
        """The tokens of all calls; empty for a call without one."""
        return {" ".join(headers).removeprefix("Bearer ") for _, headers in self.headers}

    def _begin(self, name: str, request: Any, context: grpc.ServicerContext) -> None:
        headers = [str(value) for key, value in context.invocation_metadata() if key == "authorization"]
        self.headers.append((name, headers))
        if not self.accepts(name, " ".join(headers).removeprefix("Bearer ")):
            self._abort(errors.Unauthenticated("the token is not valid"), context)
        super()._begin(name, request, context)

    def Interact(
        self, stream: Iterator[annotation_pb.InteractRequest], context: grpc.ServicerContext
    ) -> Iterator[annotation_pb.InteractResponse]:
        self._begin("Interact", None, context)
        yield from super().Interact(stream, context)
