"""Memory that malloc keeps, and returns."""

from __future__ import annotations

import subprocess
import sys

_SCRIPT = """
import threading
from gateway.core.runtime.process.malloc import FreedMemory, _unused, keep_freed_memory

keep_freed_memory()
freed = FreedMemory()
before, held = _unused(), []

def work():
    # Blocks between others, as messages of uploads are, freed by another thread than the one that goes on.
    blocks = [(b"x" * 8 * 2**20, b"y" * 300_000) for _ in range(30)]
    held.extend(small for _, small in blocks)

thread = threading.Thread(target=work)
thread.start()
thread.join()
gathered = _unused() - before
freed.trim(2**20)
print(gathered >> 20, _unused() - before >> 20)
"""


def test_freed_memory_of_all_threads_is_returned() -> None:
    # A process of its own: malloc's options last until its end.
    done = subprocess.run([sys.executable, "-c", _SCRIPT], capture_output=True, text=True, check=True, timeout=60)
    gathered, left = map(int, done.stdout.split())
    assert gathered > 200
    assert left < 20
