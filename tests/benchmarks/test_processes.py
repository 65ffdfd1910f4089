import subprocess
import sys
import time

import pytest

from benchmarks.servers.processes import PeakMemory, port_of, proportional, resident, servers

_LISTENER = """
import socket, subprocess, sys
listener = socket.create_server(("127.0.0.1", 0))
child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
print(listener.getsockname()[1], child.pid, flush=True)
input()
child.communicate(b"\\n")
"""

_HOLDER = """
import mmap, socket
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
input()
memory = mmap.mmap(-1, 64 * 2**20)
for _ in range(64):
    memory.write(bytes(2**20))
print("held", flush=True)
input()
memory.close()
print("given back", flush=True)
input()
"""


def test_a_server_is_found_with_the_processes_that_it_started() -> None:
    listener = subprocess.Popen(
        [sys.executable, "-c", _LISTENER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with listener:
        assert listener.stdin is not None
        assert listener.stdout is not None
        port, child = map(int, listener.stdout.readline().split())
        address = f"http://127.0.0.1:{port}/"
        assert {one.pid for one in servers(address)} == {listener.pid, child}
        assert [one.pid for one in servers(address, children=False)] == [listener.pid]
        assert resident(servers(address)) > resident(servers(address, children=False)) > 2**20
        # Both run the same interpreter.
        assert 2**20 < proportional(servers(address)) < resident(servers(address))
        found = servers(address)
        listener.communicate("\n")
    assert resident(found) == 0
    assert servers(address) == []


def test_peak_sees_memory_that_is_given_back() -> None:
    holder = subprocess.Popen([sys.executable, "-c", _HOLDER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    with holder:
        assert holder.stdin is not None
        assert holder.stdout is not None
        found = servers(f"127.0.0.1:{int(holder.stdout.readline())}")
        with PeakMemory(found) as peak:
            for line in ("hold", "give back"):
                holder.stdin.write(f"{line}\n")
                holder.stdin.flush()
                holder.stdout.readline()
                deadline = time.monotonic() + 10
                while peak.highest - peak.before < 60 * 2**20 and time.monotonic() < deadline:
                    time.sleep(0.01)
        after = resident(found)
        holder.communicate("\n")
    assert peak.highest - peak.before > 60 * 2**20
    assert after - peak.before < 10 * 2**20


@pytest.mark.parametrize("address", ["127.0.0.1:8123", "http://127.0.0.1:8123", "http://host:8123/"])
def test_the_port_of_an_address(address: str) -> None:
    assert port_of(address) == 8123
