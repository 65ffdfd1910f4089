import itertools
import time
from dataclasses import replace

import grpc
import pytest
from rich.console import Console

from benchmarks.attacks.catalogue import ATTACKS
from benchmarks.attacks.measurement import Outcome, measure
from benchmarks.attacks.table import as_table, missed
from benchmarks.attacks.witnesses import Witness
from benchmarks.images.examples import Example
from gateway.triton.local.server import LocalTriton

OUTCOME = Outcome(
    attack="forks",
    callers=1,
    silence_ms=900.0,
    stall_ms=40.0,
    stall_cpu_ms=20.0,
    idle_mib=100.0,
    peak_mib=500.0,
    rest_mib=129.0,
    rest_seconds=3.0,
    solo_per_second=5.0,
    polite_ratio=0.41,
    solo_p95_ms=200.0,
    polite_p95_ms=None,
    polite_refused=0,
    writer_ms=30.0,
    upload_ms=50.0,
    uploads_refused=2,
    database_ratio=0.5,
    codes={"OK": 3, "RESOURCE_EXHAUSTED": 7},
    alive=True,
)


@pytest.mark.slow
def test_an_attack_is_measured(triton: LocalTriton, phantom: Example) -> None:
    measured = measure(ATTACKS["malformed bytes"], callers=2, example=phantom, triton=triton.address, seconds=2.0)
    assert measured.alive
    assert measured.codes["INVALID_ARGUMENT"] > 0
    assert not {"INTERNAL", "UNKNOWN", "not counted"} & set(measured.codes)
    assert measured.silence_ms > 0
    assert 0 < measured.idle_mib <= measured.peak_mib
    assert measured.solo_per_second > 0
    assert measured.writer_ms > 0
    assert measured.upload_ms > 0


class Refused(grpc.RpcError):
    """A refusal, as gRPC raises it."""

    def code(self) -> grpc.StatusCode:
        return grpc.StatusCode.UNAVAILABLE


@pytest.mark.parametrize("refusals", [5, 1000])
def test_refusals_are_silence(refusals: int) -> None:
    calls = itertools.count()

    def call() -> None:
        if next(calls) < refusals:
            raise Refused

    with Witness(call) as witness:
        while witness.codes["UNAVAILABLE"] < 5 or (refusals == 5 and not witness.seconds):
            time.sleep(0.01)
        # There is a pause of 50 ms after each refusal.
        assert witness.silence() > 0.15


def test_limits_that_are_missed_are_named() -> None:
    assert missed(OUTCOME) == []
    assert missed(replace(OUTCOME, polite_ratio=0.39)) == ["polite caller below 0.4 of its rate"]
    assert missed(replace(OUTCOME, polite_ratio=0.08, callers=10)) == []
    assert missed(replace(OUTCOME, stall_ms=50.1)) == ["the event loop stalled for more than 50 ms"]
    assert missed(replace(OUTCOME, rest_mib=131.0)) == ["memory after a minute above 1.3 x idle"]
    assert len(missed(replace(OUTCOME, silence_ms=1001.0, alive=False))) == 2


def test_the_table_has_a_row_for_each_attack() -> None:
    console = Console(width=220, record=True)
    console.print(as_table([OUTCOME, replace(OUTCOME, rest_mib=400.0)]))
    rows = [line for line in console.export_text().splitlines() if "forks" in line]
    assert ["!" in row for row in rows] == [False, True]
    assert "7 RESOURCE_EXHAUSTED" in rows[0]
    assert "50, 2 refused" in rows[0]
