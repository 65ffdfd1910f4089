"""Limits of principals, the throttle of failed attempts, and the buckets behind both."""

from __future__ import annotations

import logging

import pytest

from gateway.authentication import PeerThrottle, PrincipalLimits
from gateway.authentication.buckets import Buckets
from gateway.authentication.refusal import RefusalKind
from gateway.core.access import Activity, Principal
from sixpoint.errors import ResourceExhausted

ADA, BOB = Principal("ada"), Principal("bob")


class Clock:
    """A time that passes when a test says so."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_a_bucket_fills_up_to_its_burst(clock: Clock) -> None:
    buckets: Buckets[str] = Buckets(2.0, 4.0, clock=clock)
    assert [buckets.take("a") for _ in range(5)] == [0, 0, 0, 0, 0.5]
    assert buckets.take("b") == 0
    clock.now = 0.5
    assert [buckets.take("a"), buckets.take("a")] == [0, 0.5]
    clock.now = 100
    assert [buckets.take("a") for _ in range(5)] == [0, 0, 0, 0, 0.5]


def test_the_table_of_buckets_is_bounded(clock: Clock) -> None:
    buckets: Buckets[int] = Buckets(1.0, 1.0, clock=clock)
    for number in range(20_000):
        buckets.take(number)
    assert len(buckets) == 10_000
    assert buckets.take(19_999) == 1.0
    assert buckets.take(0) == 0


def test_calls_of_one_principal_are_limited_and_not_those_of_others(clock: Clock) -> None:
    limits = PrincipalLimits(calls_per_second=0.5, clock=clock)
    for _ in range(5):
        limits.check(ADA, Activity.CALL)
    with pytest.raises(ResourceExhausted, match="SIXPOINT_OWNER_CALLS_PER_SECOND") as caught:
        limits.check(ADA, Activity.CALL)
    assert caught.value.retry_after == 2.0
    limits.check(BOB, Activity.CALL)
    # The same name in another tenant, and a name that looks like it.
    limits.check(Principal("ada", "clinic-a"), Activity.CALL)
    limits.check(Principal("default/ada"), Activity.CALL)
    clock.now = 2.0
    limits.check(ADA, Activity.CALL)


def test_an_upload_that_runs_goes_on_and_the_next_one_waits(clock: Clock) -> None:
    limits = PrincipalLimits(upload_bytes_per_second=100, clock=clock)
    limits.check(ADA, Activity.UPLOAD)
    for _ in range(3):
        limits.count_uploaded(ADA, 500)
    with pytest.raises(ResourceExhausted, match="SIXPOINT_OWNER_UPLOAD_BYTES_PER_SECOND") as caught:
        limits.check(ADA, Activity.UPLOAD)
    assert caught.value.retry_after == 5.0
    limits.check(ADA, Activity.CALL)
    limits.check(BOB, Activity.UPLOAD)
    clock.now = 5.0
    limits.check(ADA, Activity.UPLOAD)


def test_segmentations_are_limited_and_0_is_no_limit(clock: Clock) -> None:
    limits = PrincipalLimits(segmentations_per_minute=2, clock=clock)
    limits.check(ADA, Activity.SEGMENTATION)
    limits.check(ADA, Activity.SEGMENTATION)
    with pytest.raises(ResourceExhausted, match="SIXPOINT_OWNER_SEGMENTATIONS_PER_MINUTE") as caught:
        limits.check(ADA, Activity.SEGMENTATION)
    assert caught.value.retry_after == 30.0
    limits.check(ADA, Activity.CALL)
    for activity in (Activity.CALL, Activity.UPLOAD, Activity.SEGMENTATION):
        for _ in range(100):
            PrincipalLimits().check(ADA, activity)


def test_a_peer_that_fails_too_often_is_throttled_and_every_failure_counted(clock: Clock) -> None:
    kinds: list[RefusalKind] = []
    throttle = PeerThrottle(kinds.append, clock=clock)
    assert [throttle.fail("10.0.0.1", "unknown") for _ in range(11)] == [0.0] * 10 + [1.0]
    assert throttle.fail("10.0.0.2", "expired") == 0
    assert throttle.fail("::ffff:10.0.0.1", "unknown") == 1.0
    assert kinds == ["unknown"] * 11 + ["expired", "unknown"]
    clock.now = 1.0
    assert [throttle.fail("10.0.0.1", "unknown") for _ in range(2)] == [0, 1.0]


def test_a_network_of_ipv6_is_one_peer(clock: Clock) -> None:
    throttle = PeerThrottle(clock=clock)
    waits = [throttle.fail(f"2001:db8:0:1::{number:x}", "unknown") for number in range(1, 12)]
    assert waits == [0.0] * 10 + [1.0]
    assert throttle.fail("2001:db8:0:2::1", "unknown") == 0


def test_failures_are_logged_at_a_bounded_rate(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    throttle = PeerThrottle(clock=clock)
    with caplog.at_level(logging.WARNING):
        for _ in range(500):
            throttle.fail("10.0.0.1", "signature")
        assert len(caplog.records) == 20
        clock.now = 1.0
        throttle.fail("10.0.0.1", "signature")
    assert vars(caplog.records[-1])["not_logged"] == 480
    assert vars(caplog.records[-1])["kind"] == "signature"
