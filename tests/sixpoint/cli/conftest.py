"""The command line in this process."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from sixpoint import cli
from tests.sixpoint.cli.command_line import Run
from tests.sixpoint.client.fake_gateway import serving
from tests.sixpoint.client.session_gateway import SessionGateway


@pytest.fixture
def gateway() -> Iterator[SessionGateway]:
    """A gateway with an open session, s1."""
    made = SessionGateway()
    with serving(made):
        yield made


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run ``sixpoint`` as its entry point does; exit code, stdout, stderr."""

    def runner(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["sixpoint", *map(str, arguments)])
        with pytest.raises(SystemExit) as caught:
            cli.main()
        captured = capsys.readouterr()
        return int(caught.value.code or 0), captured.out, captured.err

    return runner
