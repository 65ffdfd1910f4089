"""Prompts that are not answered in time, or whose client is gone: they change nothing."""

from __future__ import annotations

import signal
import threading
import time
from typing import Any

import httpx
import numpy as np
import pytest

import sixpoint
from gateway.http.nninteractive import service
from gateway.http.nninteractive.prompting import Prompting
from gateway.http.nninteractive.window import MAX_QUEUE, Window
from gateway.server import Gateway
from gateway.triton.local.server import LocalTriton
from sixpoint.errors import ResourceExhausted
from sixpoint.mask import PackedMask
from tests.gateway.http.nninteractive.clients import (
    backwards,
    half_open,
    opened,
    refused,
)
from tests.gateway.http.nninteractive.test_client import IMAGE, LOWER, MIDDLE, OUTSIDE, UPPER
from tests.support.servers import running_gateway, signal_triton


def steps(gateway: Gateway) -> list[int]:
    """Steps in force of the only session."""
    with sixpoint.Client(f"127.0.0.1:{gateway.port}") as client:
        (session,) = client.sessions()
        return [segment.steps for segment in session.segments]


def test_what_takes_too_long_is_refused_and_undone(triton: LocalTriton) -> None:
    # Long enough for the first interaction on a busy machine.
    settings: dict[str, Any] = {"triton_url": triton.address, "http_port": 0, "call_seconds": 6.0}
    with running_gateway(**settings) as gateway, opened(gateway, IMAGE) as (client, mask):
        client.add_bbox_interaction(half_open(LOWER, UPPER), True)
        before = mask.copy()
        signal_triton(triton, signal.SIGSTOP)
        try:
            assert refused(lambda: client.add_point_interaction(backwards(OUTSIDE), False))[0] == 504
            # The other connection is served meanwhile.
            assert client.heartbeat() > 0
        finally:
            signal_triton(triton, signal.SIGCONT)
        assert np.array_equal(mask, before)
        assert steps(gateway) == [1]
        assert client.undo()
        assert not mask.any()


def test_what_nobody_waits_for_is_undone(triton: LocalTriton) -> None:
    with running_gateway(triton_url=triton.address, http_port=0) as gateway, opened(gateway, IMAGE) as (client, mask):
        patient = client._http.timeout
        client._http.timeout = httpx.Timeout(1)
        signal_triton(triton, signal.SIGSTOP)
        try:
            with pytest.raises(httpx.ReadTimeout):
                client.add_bbox_interaction(half_open(LOWER, UPPER), True)
        finally:
            signal_triton(triton, signal.SIGCONT)
        client._http.timeout = patient
        assert not client.undo()
        client.add_point_interaction(backwards(MIDDLE), True)
        assert mask.any()
        assert steps(gateway) == [1]


def test_an_answer_that_cannot_be_made_is_undone(http_gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise ResourceExhausted("no memory for it")

    with opened(http_gateway, IMAGE) as (client, mask):
        client.add_bbox_interaction(half_open(LOWER, UPPER), True)
        before = mask.copy()
        with monkeypatch.context() as patched:
            patched.setattr(service, "changed_reply", fail)
            assert refused(lambda: client.add_point_interaction(backwards(OUTSIDE), False))[0] == 429
        client.add_point_interaction(backwards(MIDDLE), True)
        assert client.undo()
        assert np.array_equal(mask, before)
        assert client.undo()
        assert not client.undo()


def test_masks_that_are_not_kept_are_those_of_the_session(
    http_gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forget(_: Prompting, window: Window, mask: PackedMask) -> None:
        window.client_empty = not mask.voxel_count

    monkeypatch.setattr(Prompting, "note_client_mask", forget)
    with opened(http_gateway, IMAGE) as (client, mask):
        client.add_bbox_interaction(half_open(LOWER, UPPER), True)
        before = mask.copy()
        box = client.add_point_interaction(backwards(OUTSIDE), False)
        changed = np.argwhere(mask != before)
        assert box == [[int(a), int(b) + 1] for a, b in zip(changed.min(axis=0), changed.max(axis=0), strict=True)]
        assert client.undo()
        assert np.array_equal(mask, before)
        assert client.undo()
        assert not mask.any()


def test_little_waits_for_a_prediction(http_gateway: Gateway) -> None:
    with opened(http_gateway, IMAGE) as (client, _):
        for _ in range(MAX_QUEUE):
            client.add_point_interaction(backwards(MIDDLE), True, run_prediction=False)
        assert refused(lambda: client.add_point_interaction(backwards(MIDDLE), True, run_prediction=False))[0] == 429
        client.reset_interactions()
        client.add_point_interaction(backwards(MIDDLE), True, run_prediction=False)


def test_calls_of_one_client_take_turns(http_gateway: Gateway) -> None:
    with opened(http_gateway, IMAGE) as (client, mask):
        client.add_bbox_interaction(half_open(LOWER, UPPER), True)
        points = [(x, 18, 16) for x in range(14, 26, 2)]
        threads = [threading.Thread(target=client.add_point_interaction, args=(backwards(at), True)) for at in points]
        for thread in threads:
            thread.start()
        started = time.monotonic()
        client.heartbeat()
        assert time.monotonic() - started < 30
        for thread in threads:
            thread.join()
        assert all(mask[16, 18, x] for x, _, _ in points)
        assert [client.undo() for _ in range(len(points) + 2)] == [True] * (len(points) + 1) + [False]
        assert not mask.any()
