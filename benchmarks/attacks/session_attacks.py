"""Attacks by calls on sessions: small requests that cost much, and many calls at once."""

from __future__ import annotations

import hashlib
import itertools
import os
import random
from functools import cache

import zstandard

from benchmarks.attacks.callers import HostileCaller
from sixpoint.prompts import ExtremePoints
from sixpoint.protocol import prompt_to_message
from sixpoint.v1 import annotation_service_pb2 as annotation_pb
from sixpoint.v1 import session_service_pb2 as session_pb
from sixpoint.v1 import volume_pb2 as volume_pb

__all__ = [
    "LARGE_SIZE",
    "annotate",
    "fork",
    "get_mask",
    "list_steps",
    "malformed",
    "mask_bomb",
    "name_all",
    "open_large",
    "open_small",
    "open_with_long_steps",
    "open_with_whole_mask",
    "rename",
    "rename_many",
]

LARGE_SIZE = (1024, 512, 512)
"""Size (x, y, z) of the large image: 268 million voxels, 32 MiB of mask bits."""
# Of a region in the middle of the phantom.
_POINTS = ((40, 68, 48), (136, 68, 48), (88, 30, 48), (88, 106, 48), (88, 68, 20), (88, 68, 76))
_STEPS_IN_ALL = 8
_NAME_BYTES = 2**20
_NUMBERS = itertools.count(1)
_RANDOM = random.Random(6)


async def open_small(caller: HostileCaller) -> None:
    """Open a session on the small image."""
    await caller.open_session(caller.images.small)


async def open_large(caller: HostileCaller) -> None:
    """Open a session on the large image."""
    await caller.open_session(caller.images.large)


async def open_with_whole_mask(caller: HostileCaller) -> None:
    """Open a session whose segment has a mask of all voxels."""
    await open_large(caller)
    await mask_bomb(caller)


async def open_with_long_steps(caller: HostileCaller) -> None:
    """Open a session whose steps hold megabytes of random mask."""
    await open_large(caller)
    request = annotation_pb.AnnotateRequest(session_id=caller.session_id, prompts=[_noise()])
    for _ in range(max(1, _STEPS_IN_ALL // caller.callers)):
        await caller.unary(caller.annotation.Annotate, request)


async def mask_bomb(caller: HostileCaller) -> None:
    """Send a mask of all voxels of the large image: kilobytes that become 32 MiB."""
    request = annotation_pb.AnnotateRequest(session_id=caller.session_id, prompts=[_whole_mask()])
    await caller.unary(caller.annotation.Annotate, request)


async def get_mask(caller: HostileCaller) -> None:
    """Ask for the mask of all voxels."""
    await caller.unary(caller.annotation.GetMask, annotation_pb.GetMaskRequest(session_id=caller.session_id))


async def annotate(caller: HostileCaller) -> None:
    """Start an object from six points, again and again."""
    prompt = prompt_to_message(ExtremePoints(_POINTS))
    request = annotation_pb.AnnotateRequest(session_id=caller.session_id, prompts=[prompt])
    await caller.unary(caller.annotation.Annotate, request)


async def rename_many(caller: HostileCaller) -> None:
    """Name as many segments as a message may hold, and then more."""
    count = 3_000 if next(_NUMBERS) % 4 else 60_000
    segments = [session_pb.Segment(number=number % 255 + 1, name="n") for number in range(count)]
    request = session_pb.UpdateSessionRequest(session_id=caller.session_id, segments=segments)
    await caller.unary(caller.sessions.UpdateSession, request)


async def name_all(caller: HostileCaller) -> None:
    """Name all segments that a session may have, as long as a name may be: 50 KiB, a row each in the database."""
    letter = "abcdefgh"[next(_NUMBERS) % 8]
    segments = [session_pb.Segment(number=number, name=letter * 200) for number in range(1, 256)]
    request = session_pb.UpdateSessionRequest(session_id=caller.session_id, segments=segments)
    await caller.unary(caller.sessions.UpdateSession, request)


async def fork(caller: HostileCaller) -> None:
    """Fork the session with its long steps: 34 bytes."""
    await caller.unary(caller.sessions.ForkSession, session_pb.ForkSessionRequest(session_id=caller.session_id))


async def list_steps(caller: HostileCaller) -> None:
    """Ask for all of the long steps: 34 bytes."""
    await caller.unary(caller.sessions.ListSteps, session_pb.ListStepsRequest(session_id=caller.session_id))


async def rename(caller: HostileCaller) -> None:
    """Send names of a megabyte, in each field that takes a name."""
    name = "n" * _NAME_BYTES
    digest = caller.images.small
    calls = (
        (caller.sessions.CreateSession, session_pb.CreateSessionRequest(image_digest=digest, model=name)),
        (caller.sessions.CreateSession, session_pb.CreateSessionRequest(image_digest=name, model="annotation")),
        (caller.sessions.GetSession, session_pb.GetSessionRequest(session_id=name)),
        (
            caller.sessions.UpdateSession,
            session_pb.UpdateSessionRequest(
                session_id=caller.session_id, segments=[session_pb.Segment(number=1, name=name)]
            ),
        ),
        (
            caller.annotation.Undo,
            annotation_pb.UndoRequest(session_id=caller.session_id, request_id=name),
        ),
    )
    method, request = calls[next(_NUMBERS) % len(calls)]
    await caller.unary(method, request)


async def malformed(caller: HostileCaller) -> None:
    """Send bytes that are no message, or one of millions of empty fields, up to the largest size."""
    methods = (
        "/sixpoint.v1.AnnotationService/Annotate",
        "/sixpoint.v1.AnnotationService/GetMask",
        "/sixpoint.v1.SessionService/UpdateSession",
        "/sixpoint.v1.SessionService/CreateSession",
        "/sixpoint.v1.ImageService/GetImage",
        "/sixpoint.v1.ModelService/ListModels",
    )
    valid = annotation_pb.AnnotateRequest(session_id=caller.session_id, prompts=[_whole_mask()]).SerializeToString()
    count = 2 ** _RANDOM.randrange(1, 22)
    data = _RANDOM.choice(
        (
            _RANDOM.randbytes(min(count, 2**16)),
            bytes([_RANDOM.randrange(1, 16) << 3 | 2, 0]) * count,
            valid[: _RANDOM.randrange(len(valid))],
            b"\xff" * count,
        )
    )
    await caller.unary(caller.channel.unary_unary(_RANDOM.choice(methods)), data)


def _voxels() -> int:
    x, y, z = LARGE_SIZE
    return x * y * z


@cache
def _whole_mask() -> annotation_pb.Prompt:
    return _mask(b"\xff" * (_voxels() // 8), count=_voxels())


@cache
def _noise() -> annotation_pb.Prompt:
    """A mask whose bits, 6 MiB of them random, do not get smaller."""
    noise = os.urandom(6 * 2**20)
    bits = noise + bytes(_voxels() // 8 - len(noise))
    return _mask(bits, count=int.from_bytes(noise).bit_count())


def _mask(bits: bytes, *, count: int) -> annotation_pb.Prompt:
    box = volume_pb.Box(lower=(0, 0, 0), upper=LARGE_SIZE)
    packed, digest = zstandard.ZstdCompressor(level=3).compress(bits), hashlib.sha256(bits).digest()
    return annotation_pb.Prompt(mask=annotation_pb.MaskPatch(box=box, bits=packed, sha256=digest, voxel_count=count))
