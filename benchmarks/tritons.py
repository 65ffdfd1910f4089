"""What several Tritons bring: prompts per second with 1, 2 and 4 of them, and prompts beside one that is slow.

It starts real Tritons with the shipped annotation model's config, whose network waits in place of computing, so that
one machine can show what several would do. The time of a GPU is simulated by waiting::

    python -m benchmarks.tritons
    python -m benchmarks.tritons --wait 0.3 --seconds 30 --users 8      # beside a slow one
"""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

import typer
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from benchmarks.figures import Figure, as_markdown, p50, p95
from benchmarks.images.examples import Example, read_example
from benchmarks.servers.local_servers import TRITON_ENVIRONMENT, free_ports, running, started_tritons
from gateway.triton.local.server import LocalTriton, LocalTritonSettings
from sixpoint.client import AsyncClient, Retry

__all__ = ["WaitingTriton", "measure_slow", "measure_throughput"]

_CONFIG = Path(__file__).parents[1] / "model_repository" / "annotation" / "config.pbtxt"
_AIMS = {2: 1.9, 4: 3.6}
_SLOWER = 10
_WARM_UP = 3  # prompts of each user before the measurement
_MODEL = """
import time
import numpy as np
import triton_python_backend_utils as pb_utils

class TritonPythonModel:
    def execute(self, requests):
        responses = []
        for request in requests:
            values = pb_utils.get_input_tensor_by_name(request, "INPUT").as_numpy()
            time.sleep(float(open(WAIT).read()) if values.any() else 0.0)  # empty: the gateway's trial
            answer = np.full((values.shape[0], 1) + values.shape[2:], 255, np.uint8)
            responses.append(pb_utils.InferenceResponse([pb_utils.Tensor("PROBABILITY", answer)]))
        return responses
"""


class WaitingTriton(LocalTriton):
    """A Triton whose annotation model waits: one instance, one prompt after the other.

    Args:
        folder: Folder for its models; it must not exist.
        environment: Folder of Triton's environment.
    """

    def __init__(self, folder: Path, *, environment: Path = TRITON_ENVIRONMENT) -> None:
        model = folder / "models" / "annotation"
        (model / "1").mkdir(parents=True)
        config = text_format.Parse(_CONFIG.read_text(), model_config_pb2.ModelConfig())
        for field in ("dynamic_batching", "model_warmup", "version_policy"):
            config.ClearField(field)
        config.backend = "python"
        (model / "config.pbtxt").write_text(text_format.MessageToString(config))
        self._wait = folder / "wait"
        self.wait(0.0)
        (model / "1" / "model.py").write_text(f"WAIT = {str(self._wait)!r}\n{_MODEL}")
        grpc_port, metrics_port = free_ports(2)
        super().__init__(
            LocalTritonSettings(
                model_repository=folder / "models",
                environment=environment,
                grpc_port=grpc_port,
                metrics_port=metrics_port,
            )
        )

    def wait(self, seconds: float) -> None:
        """Let the model take so long for each prompt from now on."""
        new = self._wait.with_suffix(".new")
        new.write_text(str(seconds))
        new.rename(self._wait)


def measure_throughput(
    tritons: Sequence[WaitingTriton], example: Example, *, counts: Sequence[int], wait: float, seconds: float
) -> list[Figure]:
    """Measure the prompts per second of one gateway with so many Tritons, with three users for each.

    Args:
        tritons: Running Tritons.
        example: Image to prompt on.
        counts: Numbers of Tritons, the first of which the others are compared with.
        wait: Seconds that a prompt takes in Triton.
        seconds: Duration of each measurement.
    """
    for triton in tritons:
        triton.wait(wait)
    result, first = [], 0.0
    for count in counts:
        durations = _prompt(tritons[:count], example, users=3 * count, seconds=seconds)
        per_second = len(durations) / seconds
        first = first or per_second
        result.append(
            Figure(
                name=f"{count} Tritons: prompts per second, of those with {counts[0]}",
                value=per_second / first,
                minimum=_AIMS.get(count) if counts[0] == 1 else None,
            )
        )
    return result


def measure_slow(
    tritons: Sequence[WaitingTriton], example: Example, *, users: int, wait: float, seconds: float
) -> list[Figure]:
    """Measure prompts while one of the Tritons is ten times slower, against those while none is.

    Args:
        tritons: Running Tritons.
        example: Image to prompt on.
        users: Users who prompt at once.
        wait: Seconds that a prompt takes in Triton.
        seconds: Duration of each measurement.
    """
    for triton in tritons:
        triton.wait(wait)
    healthy = _prompt(tritons, example, users=users, seconds=seconds)
    tritons[-1].wait(_SLOWER * wait)
    beside = _prompt(tritons, example, users=users, seconds=seconds)
    prefix = f"one of {len(tritons)} Tritons {_SLOWER} times slower, {users} users"
    return [
        Figure(name=f"{prefix}: p50, of all healthy", value=p50(beside) / p50(healthy)),
        Figure(name=f"{prefix}: p95, of all healthy", value=p95(beside) / p95(healthy), maximum=1.5),
        Figure(name=f"{prefix}: prompts per second, of all healthy", value=len(beside) / len(healthy)),
    ]


def _prompt(tritons: Sequence[WaitingTriton], example: Example, *, users: int, seconds: float) -> list[float]:
    """Prompt without a pause through a gateway of its own; return the durations of the prompts that ended in time."""
    urls = ",".join(triton.address for triton in tritons)
    prompt = example.prompt(example.numbers[0])

    async def prompts(server: str) -> list[float]:
        durations: list[float] = []
        async with AsyncClient(server, retry=Retry.none()) as client:
            sessions = [await client.open_session(example.volume, model="annotation") for _ in range(users)]
            for _ in range(_WARM_UP):
                await asyncio.gather(*(session.annotate(prompt) for session in sessions))
            end = time.perf_counter() + seconds

            async def user(number: int) -> None:
                while (started := time.perf_counter()) < end:
                    await sessions[number].annotate(prompt)
                    if (ended := time.perf_counter()) < end:
                        durations.append(ended - started)

            await asyncio.gather(*map(user, range(users)))
        return durations

    with running(triton_url=urls) as servers:
        return asyncio.run(prompts(servers.gateway))


@contextlib.contextmanager
def _waiting_tritons(count: int, environment: Path) -> Iterator[list[WaitingTriton]]:
    with tempfile.TemporaryDirectory(prefix="sixpoint-") as folder:
        tritons = [WaitingTriton(Path(folder) / str(number), environment=environment) for number in range(count)]
        with started_tritons(tritons):
            yield tritons


def main(
    image: Annotated[Path | None, typer.Argument(help="Image; without it, the phantom CT.")] = None,
    labels: Annotated[Path | None, typer.Argument(help="Its label image.")] = None,
    wait: Annotated[float, typer.Option(min=0, help="Seconds that a prompt takes in Triton.")] = 1.0,
    seconds: Annotated[float, typer.Option(min=1, help="Duration of each measurement.")] = 20.0,
    users: Annotated[int, typer.Option(min=1, help="Users beside a slow Triton.")] = 6,
    environment: Annotated[Path, typer.Option(help="Triton's environment.")] = TRITON_ENVIRONMENT,
) -> None:
    """Measure prompts per second with 1, 2 and 4 Tritons, and prompts beside a slow one of 4."""
    example = read_example(image, labels)
    with _waiting_tritons(4, environment) as tritons:
        figures = measure_throughput(tritons, example, counts=(1, 2, 4), wait=wait, seconds=seconds)
        figures += measure_slow(tritons, example, users=users, wait=wait, seconds=seconds)
    typer.echo(as_markdown(figures))


if __name__ == "__main__":
    typer.run(main)
