"""Leases: two clocks, capacity, and restarts of the gateway."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from nnInteractive.inference.remote.remote_session import ServerAtCapacityError, SessionExpiredError

import sixpoint
from gateway.core.access import Principal
from gateway.http.errors import HttpRefusal
from gateway.http.nninteractive.leases import Clocks, Leases
from gateway.triton.local.server import LocalTriton
from tests.gateway.http.nninteractive.clients import RemoteSession, backwards, door, half_open, initialise, opened
from tests.gateway.http.nninteractive.test_client import IMAGE, LOWER, MIDDLE, OUTSIDE, UPPER
from tests.support.servers import running_gateway

ALICE, BOB = Principal("Alice"), Principal("Bob")


class Clock:
    def __init__(self) -> None:
        self.time = 0.0

    def __call__(self) -> float:
        return self.time


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def leases(clock: Clock) -> Leases:
    return Leases(Clocks(idle=600, liveness=60), limit=3, owner_limit=2, now=clock)


def code(leases: Leases, token: str, principal: Principal = ALICE, model: str = "annotation") -> int:
    try:
        leases.find(token, principal, model=model)
    except HttpRefusal as refusal:
        return refusal.code
    return 200


def test_heartbeats_keep_a_lease_until_it_is_idle(leases: Leases, clock: Clock) -> None:
    lease = leases.claim(ALICE, model="annotation")
    for _ in range(11):
        clock.time += 50
        leases.touch(leases.find(lease.token, ALICE, model="annotation"), work=False)
    assert leases.remaining(lease) == 50
    clock.time += 51
    assert code(leases, lease.token) == 410
    assert code(leases, lease.token) == 410


def test_a_client_that_says_nothing_loses_its_lease(leases: Leases, clock: Clock) -> None:
    lease = leases.claim(ALICE, model="annotation")
    clock.time += 60
    assert code(leases, lease.token) == 200
    clock.time += 1
    assert code(leases, lease.token) == 410


def test_a_lease_does_not_end_while_a_call_runs(leases: Leases, clock: Clock) -> None:
    lease = leases.claim(ALICE, model="annotation")
    with leases.use(lease):
        clock.time += 1000
        assert code(leases, lease.token) == 200
    clock.time += 50
    assert code(leases, lease.token) == 200


def test_looking_at_a_lease_touches_no_clock(leases: Leases, clock: Clock) -> None:
    lease = leases.claim(ALICE, model="annotation")
    clock.time += 59
    assert leases.remaining(leases.find(lease.token, ALICE, model="annotation")) == 541
    clock.time += 2
    assert code(leases, lease.token) == 410


def test_there_is_a_limit_for_all_and_for_one(leases: Leases, clock: Clock) -> None:
    claimed = [leases.claim(owner, model="annotation") for owner in (ALICE, ALICE)]
    with pytest.raises(HttpRefusal) as refusal:
        leases.claim(ALICE, model="annotation")
    assert refusal.value.code == 503
    leases.claim(BOB, model="annotation")
    with pytest.raises(HttpRefusal):
        leases.claim(BOB, model="annotation")
    leases.end(claimed[0])
    leases.claim(BOB, model="annotation")
    clock.time += 61
    leases.claim(ALICE, model="annotation")


def test_a_token_is_its_owners_and_its_models(leases: Leases) -> None:
    token = leases.claim(ALICE, model="annotation").token
    assert len(token) == 32
    assert code(leases, token, BOB) == 410
    assert code(leases, token, ALICE, "other") == 410
    for other in ("", "0" * 32, token[:-1] + ("0" if token[-1] != "0" else "1"), token.upper() + "x", "\u0661" * 32):
        assert code(leases, other) == 410


def test_the_leases_of_a_process_that_is_gone_are_recognised(leases: Leases) -> None:
    lease = leases.claim(ALICE, model="annotation")
    after = Leases(leases.clocks, limit=3)
    assert not after.find(lease.token, ALICE, model="annotation").claimed


def test_work_goes_on_after_a_restart(triton: LocalTriton, tmp_path: Any) -> None:
    settings: dict[str, Any] = {"triton_url": triton.address, "state_folder": tmp_path / "state"}
    with running_gateway(http_port=0, **settings) as gateway:
        port = gateway.http_ports["http"]
        early = RemoteSession(door(gateway))
        client = RemoteSession(door(gateway))
        for _ in range(4):
            mask = initialise(client, IMAGE)
        client.add_bbox_interaction(half_open(LOWER, UPPER), True)
        first = mask.copy()
        client.add_point_interaction(backwards(OUTSIDE), False)
        with opened(gateway, IMAGE) as (released, _):
            token = released._lease_token
    with running_gateway(http_port=port, **settings) as gateway:
        # One claimed before it sent an image.
        early.reset_interactions()
        assert initialise(early, IMAGE).shape == IMAGE.array.shape
        early.close()
        assert client.heartbeat() > 0
        client.add_point_interaction(backwards(MIDDLE), True)
        with sixpoint.Client(f"127.0.0.1:{gateway.port}") as ours:
            (session,) = ours.sessions()
            assert [segment.steps for segment in session.segments] == [3]
            assert np.array_equal(ours.resume(session.id).mask().array, mask)
        assert client.undo()
        assert client.undo()
        assert np.array_equal(mask, first)
        again = initialise(client, IMAGE)
        client.add_bbox_interaction(half_open(LOWER, UPPER), True)
        assert np.array_equal(again, first)
        client._http.headers["X-Lease-Token"] = token
        with pytest.raises(SessionExpiredError):
            client.undo()


def test_idle_clients_and_too_many_are_told_as_their_viewers_know_it(triton: LocalTriton) -> None:
    with running_gateway(triton_url=triton.address, http_port=0, lease_idle_seconds=0.5, max_streams=1) as gateway:
        client = RemoteSession(door(gateway))
        with pytest.raises(ServerAtCapacityError):
            RemoteSession(door(gateway))
        with pytest.raises(SessionExpiredError):
            beat_forever(client)
        RemoteSession(door(gateway)).close()


def beat_forever(client: RemoteSession) -> None:
    while True:
        client.heartbeat()


def test_a_session_that_was_closed_ends_its_lease(triton: LocalTriton) -> None:
    with running_gateway(triton_url=triton.address, http_port=0) as gateway, opened(gateway, IMAGE) as (client, _):
        with sixpoint.Client(f"127.0.0.1:{gateway.port}") as ours:
            (session,) = ours.sessions()
            ours.close_session(session.id)
        with pytest.raises(SessionExpiredError):
            client.add_point_interaction(backwards(MIDDLE), True)
