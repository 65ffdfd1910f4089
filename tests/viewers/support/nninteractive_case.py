"""What a person does in viewers with a plug-in for nnInteractive, and what must come of it in each of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

import sixpoint
from gateway.http.nninteractive.beginning import give_height
from gateway.http.nninteractive.interactions import Region
from gateway.server import Gateway
from sixpoint._typing import Array, Index
from sixpoint.geometry import Geometry
from sixpoint.metrics import dice
from sixpoint.phantom import make_phantom
from sixpoint.prompts import Box, Click, Prompt, Scribble
from sixpoint.volume import Volume

__all__ = ["IMAGE", "LIVER", "OUTSIDE", "LiverCase"]

_PHANTOM = make_phantom()
IMAGE = Volume(_PHANTOM.image.array, Geometry(_PHANTOM.image.geometry.size, _PHANTOM.image.geometry.spacing))
"""What the gateway knows of the image: the protocol says nothing of its axes."""
LIVER = _PHANTOM.mask("liver") != 0
"""The organ, [z, y, x]."""
OUTSIDE = 5
"""Number of the step that is refused."""

Step = dict[str, object]


@dataclass(frozen=True)
class LiverCase:
    """Places in the liver on the slice where it is largest, in voxels.

    Attributes:
        corners: Corners of its box (x, y, z), one after the other.
        middle: A voxel near the middle.
        line: Voxels of a short line through that one.
    """

    corners: Sequence[Index]
    middle: Index
    line: Sequence[Index]

    @classmethod
    def make(cls) -> LiverCase:
        """Find the places."""
        z = int(LIVER.sum(axis=(1, 2)).argmax())
        voxels = np.argwhere(LIVER[z])
        (y0, x0), (y1, x1) = voxels.min(axis=0).tolist(), voxels.max(axis=0).tolist()
        y, x = voxels[np.abs(voxels - voxels.mean(axis=0)).sum(axis=1).argmin()].tolist()
        corners = [(x0, y0, z), (x1, y0, z), (x1, y1, z), (x0, y1, z)]
        return cls(corners, (x, y, z), [(x + step, y, z) for step in range(-4, 5)])

    def steps(self, at: Callable[[Sequence[Index]], object], *, box: Sequence[Index]) -> list[Step]:
        """What the person does.

        Args:
            at: Turns voxels into places as the viewer's driver takes them.
            box: Corners of the box that the viewer draws (x, y, z).
        """
        x, y, _ = self.middle
        return [
            {"kind": "box", "at": at(box), "positive": True},
            {"kind": "point", "at": at([self.middle]), "positive": True},
            {"kind": "scribble", "at": at(self.line), "positive": True},
            {"kind": "lasso", "at": at(self.corners), "positive": False},
            {"kind": "undo"},
            {"kind": "point", "at": at([(x, y, IMAGE.geometry.size[2])]), "positive": True},
            {"kind": "reset"},
            {"kind": "lasso", "at": at(self.corners), "positive": True},
            {"kind": "next"},
            {"kind": "point", "at": at([self.middle]), "positive": True},
        ]

    def check(self, masks: Iterable[Array], gateway: Gateway, *, last: Index) -> None:
        """Check the masks after all steps: those of the first three are gRPC's.

        Args:
            masks: The masks, [z, y, x].
            gateway: The gateway that made them.
            last: Last voxel of the box as the viewer sends it.
        """
        (x0, y0, z), _, (x1, y1, _), _ = self.corners
        box, point, scribble, lasso, undone, outside, reset, second, after, third = masks
        assert dice(scribble, LIVER) > 0.85
        assert not lasso[z, y0 + 1 : y1, x0 + 1 : x1].any()
        for same in (undone, outside):
            assert np.array_equal(same, scribble)
        assert not reset.any()
        assert second.any()
        assert not after.any()
        assert third[self.middle[::-1]]
        begin = give_height(Region(self.corners[0], last), IMAGE.geometry)
        prompts: list[Prompt] = [Box(begin.lower, begin.upper), Click(self.middle), Scribble(self.line)]
        with sixpoint.Client(f"127.0.0.1:{gateway.port}") as client, client.open_session(IMAGE) as session:
            for mask, prompt in zip((box, point, scribble), prompts, strict=True):
                assert np.array_equal(mask, session.annotate(prompt).array), prompt
