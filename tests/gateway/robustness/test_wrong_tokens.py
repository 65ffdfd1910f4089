"""1,000 wrong tokens a second: all are refused, and whoever has a right one goes on."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import sixpoint
from gateway.authentication.token_editing import NewEntry, add_entry, new_token, token_digest
from gateway.authentication.token_file import EntryKind
from gateway.core.access import Role
from gateway.triton.local.server import LocalTriton
from tests.gateway.process import gateway_process
from tests.gateway.prompts import ADD, SIX
from tests.support.images import noisy_volume

RATE, SECONDS, ROUNDS = 1000, 3.0, 2


@pytest.mark.slow
def test_a_flood_of_wrong_tokens_is_refused_beside_somebody_who_prompts(
    triton: LocalTriton, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    token, tokens = new_token(), tmp_path / "tokens.toml"
    add_entry(
        tokens, NewEntry("ada", EntryKind.HEADER, "ada", "default", Role.ANNOTATOR, None), key=token_digest(token)
    )
    alone, beside, codes = list[float](), list[float](), dict[str, int]()
    with (
        gateway_process(triton.address, tmp_path / "state", auth="tokens", tokens_file=tokens) as gateway,
        sixpoint.Client(gateway.address, token=token, retry=sixpoint.Retry.none()) as client,
        client.open_session(noisy_volume(), model="annotation") as session,
    ):

        def prompt(seconds: float) -> list[float]:
            took, end = list[float](), time.perf_counter() + seconds
            while (began := time.perf_counter()) < end:
                session.annotate(SIX)
                session.annotate(ADD)
                took.append((time.perf_counter() - began) / 2)
            return took

        prompt(1.0)
        # In turns: other work on this machine meets both.
        for _ in range(ROUNDS):
            alone += prompt(SECONDS)
            command = [sys.executable, "-m", "tests.gateway.robustness.guessing", gateway.address]
            with subprocess.Popen(
                [*command, str(SECONDS + 1), str(RATE)], stdout=subprocess.PIPE, text=True
            ) as guessing:
                assert guessing.stdout is not None
                guessing.stdout.readline()
                beside += prompt(SECONDS)
                for code, number in json.loads(guessing.communicate(timeout=60)[0]).items():
                    codes[code] = codes.get(code, 0) + number
    before, after = 1000 * statistics.median(alone), 1000 * statistics.median(beside)
    figure = f"a prompt takes {before:.1f} ms, beside wrong tokens {after:.1f} ms ({after / before:.2f} x); {codes}"
    record_property("wrong tokens", figure)
    print(figure)  # noqa: T201
    # Of many calls that are aborted at once, gRPC itself cancels some: their stream is reset before it is read.
    assert codes.pop("CANCELLED", 0) < 0.1 * sum(codes.values())
    assert set(codes) == {"UNAUTHENTICATED", "RESOURCE_EXHAUSTED"}
    # Ten at once, and one a second.
    assert codes["UNAUTHENTICATED"] < 60
    assert sum(codes.values()) > 1000
    assert beside
