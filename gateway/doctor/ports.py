"""Checks of the gateway's ports: whether they are free, and who has them if not."""

from __future__ import annotations

import contextlib
import errno
import re
import socket
from collections.abc import Iterator
from pathlib import Path

from gateway.settings import Settings
from sixpoint.cli.doctor.connection import Finding

__all__ = ["check_ports"]

_LISTENING = "0A"


def check_ports(settings: Settings) -> Iterator[Finding]:
    """Say for each port whether a gateway could listen on it now."""
    ports = {"SIXPOINT_PORT": settings.port}
    ports |= {"SIXPOINT_HEALTH_PORT": settings.health_port or 0, "SIXPOINT_STATUS_PORT": settings.status_port or 0}
    ports |= {"SIXPOINT_HTTP_PORT": settings.http_port or 0, "SIXPOINT_HTTPS_PORT": settings.https_port or 0}
    if settings.host.startswith("unix:"):
        return
    for setting, port in ports.items():
        if port:
            yield _check_port(settings.host, port, setting)


def _check_port(host: str, port: int, setting: str) -> Finding:
    what = f"port {port}"
    try:
        family, _, _, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            # As gRPC does: a port whose last connections are still closing counts as free.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(place)
            # Linux lets a second socket bind to another one's port, but not listen.
            probe.listen(1)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            return _taken(port, what, setting)
        if error.errno == errno.EACCES:
            advice = f"Ports below 1024 are for root: choose a higher one with {setting}."
            return Finding(what, False, f"{host}: this user may not listen on it", advice)
        reason = error.strerror or str(error)
        return Finding(what, False, f"{host} is no address of this machine ({reason})", "Correct SIXPOINT_HOST.")
    return Finding(what, True, f"free on {host} ({setting})")


def _taken(port: int, what: str, setting: str) -> Finding:
    owner = _listener(port)
    if owner is None:
        whose = "taken, by a process of another user"
    else:
        pid, command = owner
        # This doctor is often asked beside the gateway that it is about.
        if {"gateway", "serve"} <= {Path(part).name for part in command}:
            return Finding(what, True, f"a gateway listens on it, process {pid} ({setting})")
        # Its arguments may hold a secret.
        whose = f"taken by process {pid} ({Path(command[0]).name if command else 'unknown'})"
    return Finding(what, False, whose, f"Stop that process, or choose another port with {setting}.")


def _listener(port: int) -> tuple[int, list[str]] | None:
    """Return the process that listens on a port, and its command line; None if this user may not know."""
    inodes = set()
    for table in ("tcp", "tcp6"):
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
                fields = line.split()
                if fields[3] == _LISTENING and int(fields[1].rpartition(":")[2], 16) == port:
                    inodes.add(fields[9])
    for folder in Path("/proc").iterdir():
        if not folder.name.isdecimal():
            continue
        with contextlib.suppress(OSError):
            for descriptor in (folder / "fd").iterdir():
                link = re.fullmatch(r"socket:\[(\d+)\]", str(descriptor.readlink()))
                if link and link[1] in inodes:
                    arguments = (folder / "cmdline").read_bytes().split(b"\0")
                    return int(folder.name), [argument.decode(errors="replace") for argument in arguments]
    return None
