"""Programs of a loop end with it, however it ends."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sixpoint.errors import Aborted, FailedPrecondition
from sixpoint.loop.programs import Programs
from tests.end_to_end.processes import is_running, wait_for, wait_until_gone
from tests.support.paths import ROOT

pytestmark = pytest.mark.skipif(not Path("/proc").is_dir(), reason="processes are found in /proc")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_program_ends_with_the_process_that_started_it(number: signal.Signals, tmp_path: Path) -> None:
    script = (
        "from pathlib import Path; from sixpoint.loop.programs import Programs; "
        f"place = Path({str(tmp_path)!r}); "
        "Programs().run_logged('http.server', ['0', '--directory', str(place)], log=place / 'log')"
    )
    caller = subprocess.Popen([sys.executable, "-c", script], cwd=ROOT)
    try:
        wait_for(lambda: is_running("http.server", tmp_path), caller, time.monotonic() + 60)
        caller.send_signal(number)
        caller.wait(60)
        wait_until_gone("http.server", tmp_path)
    finally:
        caller.kill()
        caller.wait()


def test_what_a_program_says_at_its_end_is_the_error(tmp_path: Path) -> None:
    with pytest.raises(FailedPrecondition, match=r"json\.tool: "):
        Programs().run_logged("json.tool", [str(tmp_path / "none")], log=tmp_path / "log")
    (tmp_path / "content").write_text('{"a": [1]}')
    assert Programs().run_json("json.tool", [str(tmp_path / "content")]) == {"a": [1]}


def test_a_program_that_a_signal_ended_is_tried_again(tmp_path: Path) -> None:
    with pytest.raises(Aborted, match="was ended by signal 9"):
        Programs().run_logged("timeit", ["import os; os.kill(os.getpid(), 9)"], log=tmp_path / "log")


def test_a_program_ends_where_its_caller_is_stopped(tmp_path: Path) -> None:
    asked = iter([False, False, True])
    stopped = Programs(is_stopped=lambda: next(asked))
    with pytest.raises(Aborted, match="the round was stopped"):
        stopped.run_logged("http.server", ["0", "--directory", str(tmp_path)], log=tmp_path / "log")
    wait_until_gone("http.server", tmp_path)
