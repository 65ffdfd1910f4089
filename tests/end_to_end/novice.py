"""A small network that knows nothing, and cases from which it learns."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch

import sixpoint
import trainer
from sixpoint.model_spec import ModelSpec, NetworkSpec
from tests.end_to_end.command_line import run
from tests.support.images import noisy_volume
from tests.support.paths import TRITON_ENVIRONMENT
from tests.support.servers import running_gateway, running_triton
from trainer.data.spec_files import read_spec
from trainer.training.checkpoint import publish as write_checkpoint
from trainer.training.network import build_network

__all__ = ["MODEL", "add_cases", "novice_servers", "publish_novice", "slim_spec"]

MODEL = "novice"


def slim_spec() -> ModelSpec:
    whole = read_spec(Path(trainer.__file__).with_name("annotation.yaml"))
    assert whole.network is not None
    network = NetworkSpec(name="UNet", arguments={**whole.network.arguments, "channels": [4, 8, 8, 8, 8]})
    small = whole.roi.model_copy(update={"size": (32, 32, 32)})
    return whole.model_copy(update={"network": network, "roi": small})


def publish_novice(root: Path) -> Path:
    """Publish version 1 to the repository ``models`` in a folder, of the checkpoint in ``start``; return the former."""
    spec, repository = slim_spec(), root / "models"
    torch.manual_seed(0)
    (root / "start").mkdir()
    weights = build_network(spec).state_dict()
    # It answers nothing, so that whatever is learnt is not worse, on any machine.
    next(value for name, value in reversed(weights.items()) if name.endswith("bias")).fill_(-8.0)
    write_checkpoint(root / "start", weights, spec)
    done = run("exporter", "publish", root / "start" / "checkpoint.pt", "--name", MODEL, "--repository", repository)
    assert done.returncode == 0, done.stderr
    return repository


@contextmanager
def novice_servers(root: Path) -> Iterator[tuple[str, str, Path]]:
    """Yield the addresses of a gateway and of Triton, and the repository with version 1 of the model."""
    if not TRITON_ENVIRONMENT.is_dir():
        pytest.skip("Triton is not installed: make triton")
    repository = publish_novice(root)
    with running_triton(repository) as triton, running_gateway(triton_url=triton.address) as gateway:
        yield f"127.0.0.1:{gateway.port}", triton.address, repository


def add_cases(client: sixpoint.Client, name: str, numbers: range) -> None:
    """Annotate cases with the model that serves, as far as it can, and accept what was painted."""
    z, y, x = np.indices((24, 28, 30))
    for number in numbers:
        truth = (((z - 12) / 8) ** 2 + ((y - 14) / 9) ** 2 + ((x - 14 - number % 3) / 9) ** 2 < 1).astype(np.uint8)
        noise = noisy_volume((30, 28, 24))
        volume = sixpoint.Volume((noise.array // 4 + 200 * truth + number).astype(np.int16), noise.geometry)
        image = client.datasets.add_image(name, volume, case_name=f"case-{number}")
        with client.open_session(volume, model=MODEL) as session:
            session.annotate(sixpoint.ExtremePoints.of_mask(truth))
            session.annotate(sixpoint.Scribble(truth > 0, positive=True))
            session.rename(1, "ball")
            saved = client.datasets.save(name, session.id)
        assert (saved.image_digest, saved.model) == (image.digest, MODEL)
        client.datasets.review(saved.id, "accepted")
