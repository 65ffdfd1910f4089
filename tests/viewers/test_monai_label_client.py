"""MONAI Label's own Python client, unmodified: its calls, and what they return."""

from __future__ import annotations

import importlib.util
import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

import sixpoint
from gateway.server import Gateway
from gateway.triton.local.server import LocalTriton
from sixpoint.prompts import ExtremePoints
from sixpoint.volume import Volume
from tests.gateway.http.monai_label.test_masks import SIX
from tests.support.images import noisy_volume
from tests.support.servers import running_gateway
from tests.viewers.support.programs import fetch_client, real_viewer

pytestmark = real_viewer("MONAI Label's Python client")


@pytest.fixture(scope="module")
def client_module() -> Any:
    spec = importlib.util.spec_from_file_location("monai_label_client", fetch_client() / "client.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("path", ["", "/monailabel/"])
def test_the_client_does_its_work(http_gateway: Gateway, client_module: Any, tmp_path: Path, path: str) -> None:
    image = noisy_volume((40, 36, 34))
    image.write(tmp_path / "image.nii.gz")
    url = f"http://127.0.0.1:{http_gateway.http_ports['http']}{path}"
    client = client_module.MONAILabelClient(url, str(tmp_path), "somebody")
    assert not client.auth_enabled()
    assert client.info()["models"]["annotation"]["type"] == "deepgrow"
    assert set(client.info()["strategies"]) == {"first", "random"}

    session = client.create_session(str(tmp_path / "image.nii.gz"))["session_id"]
    assert client.get_session(session)["name"] == session
    with sixpoint.Client(f"127.0.0.1:{http_gateway.port}") as ours, ours.open_session(image) as opened:
        expected = opened.annotate(ExtremePoints(SIX)).array

    params = {"label": "liver", "foreground": SIX, "background": [], "result_extension": ".nrrd"}
    by_session = client.infer("annotation", "", dict(params), session_id=session)
    client.upload_image(str(tmp_path / "image.nii.gz"), "my image")
    by_name = client.infer("annotation", "my image", dict(params))
    by_file = client.infer("annotation", "", dict(params), file=str(tmp_path / "image.nii.gz"))
    for file, result in (by_session, by_name, by_file):
        assert np.array_equal(sitk.GetArrayFromImage(sitk.ReadImage(file)), expected)
        assert result["label_names"] == {"liver": 1}

    file, result = client.infer("segmentation_hippocampus", "my image", {"result_extension": ".nii.gz"})
    assert file.endswith(".nii.gz")
    assert sitk.ReadImage(file).GetSize() == image.geometry.size
    assert list(result["label_names"]) == ["anterior", "posterior"]

    drawn = np.zeros(image.array.shape, np.uint8)
    drawn[16, 17, 14:22] = 2
    drawn[28:30, 30:33, 33:37] = 1
    Volume(drawn, image.geometry).write(tmp_path / "drawn.nrrd")
    layers = [{"name": "background_scribbles", "id": 1}, {"name": "foreground_scribbles", "id": 2}]
    params = {"label_info": layers, "selected_label_name": "liver", "roi": [], "result_extension": ".nrrd"}
    file, _ = client.infer("annotation_scribbles", "my image", params, label_in=str(tmp_path / "drawn.nrrd"))
    mask = sitk.GetArrayFromImage(sitk.ReadImage(file))
    assert mask[drawn == 2].all()
    assert not mask[drawn == 1].any()

    assert client.next_sample("first", {}).get("id") != image.digest
    assert image.digest in client.datastore()["objects"]
    assert client.remove_session(session)["name"] == session
    assert not client.train_status(check_if_running=True)
    for refused in (
        partial(client.train_start, "annotation", {}),
        partial(client.infer, "annotation", "other image", dict(params)),
    ):
        with pytest.raises(client_module.MONAILabelClientException) as failure:
            refused()
        assert json.loads(failure.value.msg.partition("Response: ")[2])["reason"].endswith("NOT_FOUND")


def test_the_client_submits_labels(triton: LocalTriton, client_module: Any, tmp_path: Path) -> None:
    image = noisy_volume((40, 36, 34))
    image.write(tmp_path / "image.nii.gz")
    with running_gateway(triton_url=triton.address, http_port=0, viewer_dataset="organs") as gateway:
        client = client_module.MONAILabelClient(f"http://127.0.0.1:{gateway.http_ports['http']}", str(tmp_path))
        with sixpoint.Client(f"127.0.0.1:{gateway.port}") as ours:
            ours.datasets.create("organs", labels=["spleen", "liver"])
            digest = client.upload_image(str(tmp_path / "image.nii.gz"), "my image")["image"]
            params = {"label": "liver", "foreground": SIX, "background": [], "result_extension": ".nrrd"}
            file, _ = client.infer("annotation", "my image", params)
            saved = client.save_label("my image", file, params={"label_info": [{"name": "liver", "idx": 1}]})
            assert saved["image"] == digest
            (info,) = ours.datasets.annotations("organs")
            mask = ours.datasets.masks(info.id).mask("liver").array
            assert np.array_equal(mask, sitk.GetArrayFromImage(sitk.ReadImage(file)))
        back = sitk.ReadImage(client.download_label(digest, "final"))
        assert np.array_equal(sitk.GetArrayFromImage(back), 2 * mask)
        assert client.next_sample("first", {}) == {}
