"""A network of nnU-Net v2, brought as ONNX with a spec, is published and labels a CT as it does in PyTorch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch
import yaml
from monai.inferers.utils import sliding_window_inference

import sixpoint
from sixpoint._typing import Array, Ints
from sixpoint.volume import Volume
from tests.exporter import nnunet
from tests.exporter.command_line import run
from tests.exporter.pipelines import dice
from tests.support.data import shared
from tests.support.paths import TRITON_ENVIRONMENT
from tests.support.servers import running_gateway, running_triton

pytestmark = [pytest.mark.triton, pytest.mark.slow]

WINDOW = (16, 32, 32)  # z, y, x
LABELS = ["organ", "lesion"]


def test_labels_are_those_of_the_network_in_pytorch(tmp_path: Path) -> None:
    if not TRITON_ENVIRONMENT.is_dir():
        pytest.skip("Triton is not installed: make triton")
    torch.manual_seed(1)
    network = nnunet.PlainConvUNet(len(LABELS) + 1).eval()
    source = tmp_path / "model.onnx"
    nnunet.write_onnx(network, source, size=WINDOW)
    (tmp_path / "spec.yaml").write_text(yaml.safe_dump(nnunet.ct_spec(size=WINDOW, spacing=3.0, labels=LABELS)))
    repository = tmp_path / "repository"
    repository.mkdir()
    image = cropped(shared("volumes/ct_abdomen_slab_image.nii.gz"), tmp_path / "ct.nii.gz")
    with running_triton(repository) as triton:
        done = run(*("publish", source, "--name", "unet", "--repository", repository, "--triton", triton.address))
        assert done.exit_code == 0, done.stderr
        assert "of the outputs of model.onnx, output was taken, not half" in done.stdout
        with (
            running_gateway(triton_url=triton.address) as gateway,
            sixpoint.Client(f"127.0.0.1:{gateway.port}") as client,
        ):
            answer = client.segment(image, model="unet")
    expected = labels_in_pytorch(network, Volume.read(image).array)
    for number, name in enumerate(LABELS, start=1):
        assert 0.02 < np.mean(expected == number) < 0.98
        assert dice(answer.mask(name).array, expected == number) >= 0.999


def cropped(source: Path, path: Path) -> Path:
    """Write the part of a CT that windows cover without a remainder, so that they lie alike from either end."""
    image = sitk.ReadImage(str(source))
    sitk.WriteImage(image[5:117, 3:99, 2:26], str(path))
    return path


def labels_in_pytorch(network: torch.nn.Module, voxels: Array) -> Ints:
    """Return the labels [z, y, x] of a CT as nnU-Net computes them: of the voxels as they are stored."""
    normalised = (np.clip(voxels.astype(np.float32), nnunet.LOW, nnunet.HIGH) - nnunet.MEAN) / nnunet.DEVIATION
    with torch.inference_mode():
        logits = sliding_window_inference(
            torch.from_numpy(normalised)[None, None],
            *(WINDOW, 1, lambda window: network(window)[0]),
            overlap=0.5,
            mode="gaussian",
            sigma_scale=0.125,
        )
    assert isinstance(logits, torch.Tensor)
    labels: Ints = logits[0].argmax(dim=0).numpy()
    return labels
