"""Comparison of sixpoint with MONAI Label: the same network, large CT and clicks, alternately within one run.

``benchmarks/README.md`` says how to start both servers, and in what they differ::

    python -m benchmarks.peer http://127.0.0.1:8123                              # on the phantom, made large
    python -m benchmarks.peer http://127.0.0.1:8123 ct.nii.gz label.nii.gz --label 5
    python -m benchmarks.peer http://127.0.0.1:8123 --dialect http://127.0.0.1:8000/monailabel    # one client for both
"""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

import psutil
import typer
from rich.console import Console
from rich.table import Table

from benchmarks.figures import Figure, p50, p95
from benchmarks.images.examples import Example, large_ct, read_example
from benchmarks.peer.monai_label import MonaiLabel
from benchmarks.peer.users import Ask, Clicks, alone, ask_peer, open_by_dialect, open_by_sdk, rate, turns
from benchmarks.servers.processes import MIB, proportional, resident, servers

__all__ = ["Comparison", "ServerResult", "compare", "figures"]

USERS = (1, 4, 8)
# Generated before the measurement: finding the voxels of a structure takes seconds in a large image.
_CLICKS = 500


@dataclass(frozen=True)
class ServerResult:
    """Measurements of one server. The field names are keys of the JSON output.

    Attributes:
        upload: Duration of the upload of the image, s.
        correction_p50: Median duration from a click to the mask on the image's grid for a single user, s.
        correction_p95: 95th percentile of the same duration, s.
        network_p50: Median duration of the network within it, as the server reports it, s.
        per_second: Requests answered per second, by the number of users.
        failed: Number of failed requests.
        mib_before: Memory of all processes of the server (RSS, MiB) before the upload; None if it runs elsewhere.
        mib_after: Memory of all processes of the server (RSS, MiB) at the end; None if it runs elsewhere.
        pss_after: Memory at the end (PSS, MiB), in which memory shared by several processes counts once.
    """

    upload: float
    correction_p50: float
    correction_p95: float
    network_p50: float
    per_second: dict[int, float]
    failed: int
    mib_before: float | None
    mib_after: float | None
    pss_after: float | None


@dataclass(frozen=True)
class Comparison:
    """Measurements of both servers in one run.

    Attributes:
        sixpoint: Measurements of the gateway and Triton.
        monai_label: Measurements of MONAI Label.
    """

    sixpoint: ServerResult
    monai_label: ServerResult


@dataclass(frozen=True)
class _Requests:
    """Requests to one server.

    Attributes:
        single: Seconds of each correction of a single user, and of the network in it.
        per_second: Requests answered per second, by the number of users.
        failed: Number of failed requests.
    """

    single: list[tuple[float, float]]
    per_second: dict[int, float]
    failed: int


def compare(
    example: Example,
    label: int,
    *,
    server: str,
    triton: str,
    peer: str,
    dialect: str = "",
    model: str = "annotation",
    users: Sequence[int] = USERS,
    corrections: int = 10,
    seconds: float = 8.0,
) -> Comparison:
    """Measure both servers, alternately.

    Args:
        example: Image; see :func:`benchmarks.images.examples.large_ct`.
        label: Label of the structure to outline.
        server: Address of the gateway, host:port.
        triton: Address of the Triton behind it, host:port.
        peer: URL of the MONAI Label server.
        dialect: URL of the gateway's door for MONAI Label's clients, to ask it as MONAI
            Label is asked; empty: by the SDK.
        model: Name of the model on both servers.
        users: Numbers of simultaneous users.
        corrections: Number of clicks of a single user.
        seconds: Duration for which each number of users starts requests.

    Raises:
        Unavailable: One of the servers does not answer.
        SixpointError: A request of a single user fails.
    """
    processes = [*servers(server, children=False), *servers(triton)], servers(peer)
    before = [_mib(resident, group) for group in processes]
    prompt, clicks = example.prompt(label), tuple(itertools.islice(example.clicks(label), _CLICKS))
    with ExitStack() as stack:
        clock = [time.perf_counter()]
        open_ours = partial(open_by_dialect, dialect) if dialect else partial(open_by_sdk, server)
        ours = [open_ours(stack, example, model, prompt)]
        clock.append(time.perf_counter())
        peer_session = MonaiLabel(peer).upload(example.volume)
        clock.append(time.perf_counter())
        stack.callback(lambda: MonaiLabel(peer).close_session(peer_session))
        ours += [open_ours(stack, example, model, prompt) for _ in range(max(users) - 1)]
        asks = ours, [ask_peer(MonaiLabel(peer), model, peer_session, prompt) for _ in range(max(users))]
        requests = _send_requests(asks, clicks, users=users, corrections=corrections, seconds=seconds)
        after = [(_mib(resident, group), _mib(proportional, group)) for group in processes]
    results = (
        _server_result(
            requests[index], upload=clock[index + 1] - clock[index], before=before[index], after=after[index]
        )
        for index in range(2)
    )
    return Comparison(*results)


def _server_result(
    requests: _Requests, *, upload: float, before: float | None, after: tuple[float | None, float | None]
) -> ServerResult:
    return ServerResult(
        upload=upload,
        correction_p50=p50([duration for duration, _ in requests.single]),
        correction_p95=p95([duration for duration, _ in requests.single]),
        network_p50=p50([network for _, network in requests.single]),
        per_second=requests.per_second,
        failed=requests.failed,
        mib_before=before,
        mib_after=after[0],
        pss_after=after[1],
    )


def _send_requests(
    asks: tuple[list[Ask], list[Ask]], clicks: Clicks, *, users: Sequence[int], corrections: int, seconds: float
) -> list[_Requests]:
    """Send the same requests to both servers: of a single user, then of several at once."""
    single = alone((asks[0][0], asks[1][0]), turns(clicks, user=0), corrections)
    rates: list[dict[int, float]] = [{}, {}]
    failed = [0, 0]
    for count, index in itertools.product(users, range(2)):
        work = [(ask, turns(clicks, user=user)) for user, ask in enumerate(asks[index][:count])]
        rates[index][count], failures = rate(work, seconds)
        failed[index] += failures
    return [_Requests(single[index], rates[index], failed[index]) for index in range(2)]


def figures(comparison: Comparison) -> list[Figure]:
    """Convert the measurements to figures with limits."""
    ours, theirs = comparison.sixpoint, comparison.monai_label
    without_network = [result.correction_p50 - result.network_p50 for result in (theirs, ours)]
    result = [
        Figure(name="a correction in a large CT, p50", value=ours.correction_p50, unit="s"),
        Figure(name="a correction in a large CT, p95", value=ours.correction_p95, unit="s"),
        Figure(name="the same by MONAI Label, p50", value=theirs.correction_p50, unit="s"),
        Figure(name="the same by MONAI Label, p95", value=theirs.correction_p95, unit="s"),
        Figure(
            name="a correction, MONAI Label / sixpoint", value=theirs.correction_p50 / ours.correction_p50, minimum=10
        ),
        Figure(
            name="a correction without the network, MONAI Label / sixpoint",
            value=without_network[0] / without_network[1],
            minimum=5,
        ),
    ]
    for count, answered in ours.per_second.items():
        what = f"requests per second of {_users(count)}, sixpoint / MONAI Label"
        result.append(Figure(name=what, value=answered / theirs.per_second[count], minimum=5))
    result.append(Figure(name="requests that failed beside MONAI Label", value=ours.failed, maximum=0))
    if ours.mib_after and theirs.mib_after:
        result.append(Figure(name="memory in the end (RSS), sixpoint", value=ours.mib_after, unit="MiB"))
        got = ours.mib_after / theirs.mib_after
        result.append(Figure(name="memory in the end (RSS), sixpoint / MONAI Label", value=got, maximum=1))
    if ours.pss_after and theirs.pss_after:
        got = ours.pss_after / theirs.pss_after
        result.append(Figure(name="memory in the end (PSS), sixpoint / MONAI Label", value=got))
    return result


def _mib(measure: Callable[[list[psutil.Process]], int], processes: list[psutil.Process]) -> float | None:
    return measure(processes) / MIB if processes else None


def _users(count: int) -> str:
    return "one user" if count == 1 else f"{count} users"


def _table(comparison: Comparison) -> Table:
    table = Table("", "sixpoint", "MONAI Label", "times better", box=None)
    ours, theirs = comparison.sixpoint, comparison.monai_label

    def row(what: str, a: float | None, b: float | None, unit: str = "", *, more: bool = False) -> None:
        if a is None or b is None:
            table.add_row(what, "?", "?", "")
        else:
            table.add_row(what, f"{a:.4g} {unit}", f"{b:.4g} {unit}", f"{(a / b if more else b / a):.2f}")

    row("a correction, p50", ours.correction_p50, theirs.correction_p50, "s")
    row("a correction, p95", ours.correction_p95, theirs.correction_p95, "s")
    row("the network in it, p50", ours.network_p50, theirs.network_p50, "s")
    row("upload", ours.upload, theirs.upload, "s")
    for count, answered in ours.per_second.items():
        row(f"requests of {_users(count)}", answered, theirs.per_second[count], "/s", more=True)
    row("memory before (RSS)", ours.mib_before, theirs.mib_before, "MiB")
    row("memory after (RSS)", ours.mib_after, theirs.mib_after, "MiB")
    row("memory after (PSS)", ours.pss_after, theirs.pss_after, "MiB")
    table.add_row("requests that failed", str(ours.failed), str(theirs.failed), "")
    return table


def main(
    peer: Annotated[str, typer.Argument(help="URL of the MONAI Label server.")],
    image: Annotated[Path | None, typer.Argument(help="Image; without it, the phantom CT.")] = None,
    labels: Annotated[Path | None, typer.Argument(help="Its label image.")] = None,
    label: Annotated[int, typer.Option(help="Number of the structure to outline.")] = 1,
    server: Annotated[str, typer.Option(envvar="SIXPOINT_SERVER", help="The gateway.")] = "127.0.0.1:50051",
    triton: Annotated[str, typer.Option(envvar="SIXPOINT_TRITON_URL", help="Triton behind it.")] = "127.0.0.1:8001",
    dialect: Annotated[str, typer.Option(help="The gateway's /monailabel: ask it as MONAI Label is asked.")] = "",
    model: Annotated[str, typer.Option(help="The model, of one name on both.")] = "annotation",
    corrections: Annotated[int, typer.Option(min=1, help="Clicks of one user alone.")] = 10,
    seconds: Annotated[float, typer.Option(help="How long 1, 4 and 8 users ask each.")] = 8.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Compare a correction's time, the requests per second of 1, 4 and 8 users, and memory."""
    comparison = compare(
        large_ct(read_example(image, labels)),
        label,
        server=server,
        triton=triton,
        peer=peer,
        dialect=dialect,
        model=model,
        corrections=corrections,
        seconds=seconds,
    )
    if as_json:
        typer.echo(json.dumps(asdict(comparison), indent=1))
    else:
        Console().print(_table(comparison))
