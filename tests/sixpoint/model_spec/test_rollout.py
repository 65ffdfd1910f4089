"""Which sessions a candidate answers."""

from __future__ import annotations

import uuid

import pytest

from sixpoint.errors import ModelSpecError
from sixpoint.model_spec import Candidate

SESSIONS = [str(uuid.UUID(int=number)) for number in range(4000)]


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 1.0])
def test_a_candidate_takes_its_share(share: float) -> None:
    taken = sum(Candidate("2", share).serves(session) for session in SESSIONS) / len(SESSIONS)
    assert taken == pytest.approx(share, abs=0.02 if 0 < share < 1 else 0)


def test_a_session_keeps_the_candidate_when_the_share_grows() -> None:
    early = {session for session in SESSIONS if Candidate("2", 0.1).serves(session)}
    assert all(Candidate("2", 0.3).serves(session) for session in early)


def test_the_hash_is_the_documented_one() -> None:
    # SHA-256 of "session" begins with 3f3af1ecebbd1410: 0.24699.
    assert not Candidate("2", 0.2469).serves("session")
    assert Candidate("2", 0.2471).serves("session")


def test_a_candidate_is_read_as_it_was_written() -> None:
    assert Candidate("3", 0.1).to_json() == '{"version":"3","share":0.1}'
    assert Candidate.from_json('{"version": "3", "share": 0.1}') == Candidate("3", 0.1)


@pytest.mark.parametrize("text", ["", "{}", '{"version": "0", "share": 0.1}', '{"version": "3", "share": 1.5}'])
def test_what_is_no_candidate_is_refused(text: str) -> None:
    with pytest.raises(ModelSpecError, match="parameter sixpoint_candidate"):
        Candidate.from_json(text)
