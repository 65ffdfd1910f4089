"""sixpoint and MONAI Label side by side: the same network, the same large CT, the same clicks, in turn within one run.

``benchmarks/README.md`` says how to start the two, and what is alike and what is not::

    python -m benchmarks.peer http://127.0.0.1:8123                              # on the phantom, made large
    python -m benchmarks.peer http://127.0.0.1:8123 ct.nii.gz label.nii.gz --label 5
"""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import psutil
import typer
from rich.console import Console
from rich.table import Table

from benchmarks.figures import Figure, p50, p95
from benchmarks.images.examples import Example, large_ct, read_example
from benchmarks.peer.monai_label import MonaiLabel
from benchmarks.peer.users import Ask, Clicks, alone, rate, turns
from benchmarks.servers.processes import MIB, proportional, resident, servers
from sixpoint.client import Client, Session
from sixpoint.prompts import ExtremePoints

__all__ = ["Comparison", "Side", "compare", "figures"]

USERS = (1, 4, 8)
# Before anything is timed: finding a structure's voxels takes seconds in a large image.
_CLICKS_MADE = 500


@dataclass(frozen=True)
class Side:
    """What was measured of one server.

    Attributes:
        upload: Seconds to bring the image there.
        correction_p50: Seconds from a click to the mask on the image's grid, of one user alone.
        correction_p95: The same.
        network_p50: Of that, the network, as the server says.
        per_second: Requests answered per second, by the number of users.
        failed: Requests that failed.
        mib_before: Memory of all its processes (RSS, MiB) before the image came; None when they are elsewhere.
        mib_after: The same, after everything.
        pss_after: The same, with what processes share counted once: a server of several processes shares libraries.
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
    """Both servers, measured in one run."""

    sixpoint: Side
    monai_label: Side


def compare(
    example: Example,
    label: int,
    *,
    server: str,
    triton: str,
    peer: str,
    model: str = "annotation",
    users: Sequence[int] = USERS,
    corrections: int = 10,
    seconds: float = 8.0,
) -> Comparison:
    """Measure both in turn.

    Args:
        example: The image; see :func:`benchmarks.images.examples.large_ct`.
        label: The structure to outline.
        server: The gateway, host:port.
        triton: Triton behind it, host:port.
        peer: URL of the MONAI Label server.
        model: Name of the model, on both.
        users: How many at once.
        corrections: Clicks of one user alone.
        seconds: How long each number of users asks; what is under way then is waited for and counted.

    Raises:
        Unavailable: When one of them does not answer.
        SixpointError: When a request of one user alone fails.
    """
    processes = [*servers(server, children=False), *servers(triton)], servers(peer)
    before = [_mib(resident, one) for one in processes]
    prompt, clicks = example.prompt(label), tuple(itertools.islice(example.clicks(label), _CLICKS_MADE))
    with Client(server) as client, ExitStack() as stack:
        clock = [time.perf_counter()]
        first = stack.enter_context(client.open_session(example.volume, model=model))
        clock.append(time.perf_counter())
        theirs = MonaiLabel(peer).upload(example.volume)
        clock.append(time.perf_counter())
        stack.callback(lambda: MonaiLabel(peer).close_session(theirs))

        sessions = [
            first,
            *(stack.enter_context(client.open_session(example.volume, model=model)) for _ in range(max(users) - 1)),
        ]
        asks: list[list[Ask]] = [
            [_ours(session, prompt) for session in sessions],
            [_theirs(MonaiLabel(peer), model, theirs, prompt) for _ in sessions],
        ]
        single = alone((asks[0][0], asks[1][0]), turns(clicks, user=0), corrections)
        rates: list[dict[int, float]] = [{}, {}]
        failed = [0, 0]
        for count, side in itertools.product(users, range(2)):
            work = [(ask, turns(clicks, user=user)) for user, ask in enumerate(asks[side][:count])]
            rates[side][count], missed = rate(work, seconds)
            failed[side] += missed
        after = [_mib(resident, one) for one in processes]
        after_pss = [_mib(proportional, one) for one in processes]
    sides = (
        Side(
            upload=clock[side + 1] - clock[side],
            correction_p50=p50([call for call, _ in single[side]]),
            correction_p95=p95([call for call, _ in single[side]]),
            network_p50=p50([network for _, network in single[side]]),
            per_second=rates[side],
            failed=failed[side],
            mib_before=before[side],
            mib_after=after[side],
            pss_after=after_pss[side],
        )
        for side in range(2)
    )
    return Comparison(*sides)


def figures(found: Comparison) -> list[Figure]:
    """How many times sixpoint is better, and whether that is enough."""
    ours, theirs = found.sixpoint, found.monai_label
    beyond = [one.correction_p50 - one.network_p50 for one in (theirs, ours)]
    result = [
        Figure(what="a correction in a large CT, p50", got=ours.correction_p50, unit="s"),
        Figure(what="a correction in a large CT, p95", got=ours.correction_p95, unit="s"),
        Figure(what="the same by MONAI Label, p50", got=theirs.correction_p50, unit="s"),
        Figure(what="the same by MONAI Label, p95", got=theirs.correction_p95, unit="s"),
        Figure(what="a correction, MONAI Label / sixpoint", got=theirs.correction_p50 / ours.correction_p50, least=10),
        Figure(what="a correction without the network, MONAI Label / sixpoint", got=beyond[0] / beyond[1], least=5),
    ]
    for count, answered in ours.per_second.items():
        what = f"requests per second of {_people(count)}, sixpoint / MONAI Label"
        result.append(Figure(what=what, got=answered / theirs.per_second[count], least=5))
    result.append(Figure(what="requests that failed beside MONAI Label", got=ours.failed, most=0))
    if ours.mib_after and theirs.mib_after:
        result.append(Figure(what="memory in the end (RSS), sixpoint", got=ours.mib_after, unit="MiB"))
        got = ours.mib_after / theirs.mib_after
        result.append(Figure(what="memory in the end (RSS), sixpoint / MONAI Label", got=got, most=1))
    if ours.pss_after and theirs.pss_after:
        got = ours.pss_after / theirs.pss_after
        result.append(Figure(what="memory in the end (PSS), sixpoint / MONAI Label", got=got))
    return result


def _ours(session: Session, prompt: ExtremePoints) -> Ask:
    def ask(clicks: Clicks) -> float:
        mask = session.annotate(clicks[-1] if clicks else prompt)
        # The SDK makes the array when it is looked at; MONAI Label's reply is one already.
        assert mask.array.any()
        return mask.timings.inference.total_seconds()

    return ask


def _theirs(client: MonaiLabel, model: str, session: str, prompt: ExtremePoints) -> Ask:
    def ask(clicks: Clicks) -> float:
        # Its server remembers nothing of the last request.
        positive = [click.point for click in clicks if click.positive]
        negative = [click.point for click in clicks if not click.positive]
        points = [*prompt.points, *positive]
        return client.infer(model, session, foreground=points, background=negative).latencies["infer"]

    return ask


def _mib(measure: Callable[[list[psutil.Process]], int], processes: list[psutil.Process]) -> float | None:
    return measure(processes) / MIB if processes else None


def _people(count: int) -> str:
    return "one user" if count == 1 else f"{count} users"


def _table(found: Comparison) -> Table:
    table = Table("", "sixpoint", "MONAI Label", "times better", box=None)
    ours, theirs = found.sixpoint, found.monai_label

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
        row(f"requests of {_people(count)}", answered, theirs.per_second[count], "/s", more=True)
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
    model: Annotated[str, typer.Option(help="The model, of one name on both.")] = "annotation",
    corrections: Annotated[int, typer.Option(min=1, help="Clicks of one user alone.")] = 10,
    seconds: Annotated[float, typer.Option(help="How long 1, 4 and 8 users ask each.")] = 8.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Compare a correction's time, the requests per second of 1, 4 and 8 users, and memory."""
    found = compare(
        large_ct(read_example(image, labels)),
        label,
        server=server,
        triton=triton,
        peer=peer,
        model=model,
        corrections=corrections,
        seconds=seconds,
    )
    if as_json:
        typer.echo(json.dumps(asdict(found), indent=1))
    else:
        Console().print(_table(found))
