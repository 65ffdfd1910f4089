"""AIAA's own clients, unmodified: the Python client and its test suite, and the C++ client's programs, compiled.

``AIAA_CLIENT`` names the folder of their source, https://github.com/NVIDIA/ai-assisted-annotation-client; nothing of it
is part of this repository.
"""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

import sixpoint
from gateway.server import Gateway
from sixpoint._typing import Array
from sixpoint.prompts import ExtremePoints
from sixpoint.volume import Volume
from tests.gateway.prompts import POINTS
from tests.support.images import noisy_volume
from tests.viewers.support.programs import AIAA_SOURCE, with_aiaa_source

pytestmark = [pytest.mark.viewer("AIAA's Python client"), with_aiaa_source]

SIX = POINTS.astype(int).tolist()
MODELS = {
    "segmentation_ct_spleen": "segmentation_hippocampus",
    "annotation_ct_spleen": "annotation",
    "clara_deepgrow": "annotation",
    "clara_xray_classification_chest_amp": "segmentation_hippocampus",
}
"""Models that the suite asks for, which are NVIDIA's, and those that it is given."""
# What the client's dextr3d takes from NumPy, which has dropped it since.
_RUN = """
import numpy, runpy, sys
numpy.float = float
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""

CPP_FILES = ("client", "curlutils", "model", "pointset", "polygon", "utils", "imageinfo")
CPP_PROGRAMS = ("model", "session", "segmentation", "dextra3d", "deepgrow", "inference", "mask-polygon", "fix-polygon")
# The two functions that need ITK, which cuts the image: these programs send all of it.
_NO_ITK = """
#include <nvidia/aiaa/aiaautils.h>
namespace nvidia { namespace aiaa {
using Text = std::string;
PointSet AiaaUtils::imagePreProcess(const PointSet &p, const Text &, const Text &, ImageInfo &, double, const Point &) {
  return p;
}
void AiaaUtils::imagePostProcess(const Text &, const Text &, const ImageInfo &) {}
}}
"""


@pytest.fixture(scope="module")
def image() -> Volume:
    return noisy_volume((48, 56, 48))


@pytest.fixture(scope="module")
def image_file(image: Volume, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("image") / "image.nii.gz"
    image.write(file)
    return file


@pytest.fixture(scope="module")
def expected(http_gateway: Gateway, image_file: Path) -> Array:
    """What gRPC answers to the six points."""
    with sixpoint.Client(f"127.0.0.1:{http_gateway.port}") as client, client.open_session(image_file) as session:
        return session.annotate(ExtremePoints(SIX)).array


@pytest.fixture
def url(http_gateway: Gateway) -> str:
    return f"http://127.0.0.1:{http_gateway.http_ports['http']}/aiaa"


@pytest.fixture(scope="module")
def client_module() -> Any:
    spec = importlib.util.spec_from_file_location("aiaa_client", AIAA_SOURCE / "py_client" / "client_api.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_suite_of_the_python_client_passes(url: str, image_file: Path, tmp_path: Path) -> None:
    folder = AIAA_SOURCE / "py_client"
    tests = json.loads((folder / "aas_tests.json").read_text())["tests"]
    assert len(tests) == 12
    golden: list[object] = []
    mask = folder / "test-data" / "mask2polygon.input.nii.gz"
    for test in tests:
        test.update({key: MODELS[test[key]] for key in ("model",) if key in test})
        if "image_out" in test:
            test["image_out"] = str(tmp_path / Path(test["image_out"]).name)
        if test["name"] == "test_fixpolygon_3d_spleen":
            golden = test["polygons"]
            # The suite's image is not part of the source; this is a volume of the same grid.
            test["image_in"] = str(mask)
        elif test.get("image_in", "").endswith(("image.nii.gz", "v2.png")):
            test["image_in"] = str(image_file)
        if "point_set" in test:
            test["point_set"] = SIX
        if "foreground" in test:
            test["foreground"] = [[20, 17, 16]]
    (tmp_path / "tests.json").write_text(json.dumps({"tests": tests}))
    command = [sys.executable, "-c", _RUN, "test_aiaa_server.py", "-s", url, "-c", str(tmp_path / "tests.json")]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Running Test: ") == 12
    (polygons,) = (line for line in done.stdout.splitlines() if line.startswith("++++ Mask2Polygons: "))
    assert json.loads(polygons.partition(": ")[2]) == golden
    closed = [line for line in done.stdout.splitlines() if line.startswith("++++ Session (")]
    assert [line.rpartition(" ")[2] for line in closed] == ["True"]
    assert {file.name for file in tmp_path.iterdir()} >= {Path(t["image_out"]).name for t in tests if "image_out" in t}


def test_the_python_client_gets_the_masks_of_grpc(
    url: str, client_module: Any, image_file: Path, expected: Array, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(np, "float", float, raising=False)
    client, out = client_module.AIAAClient(url), tmp_path / "out.nii.gz"
    assert {"annotation", "segmentation_hippocampus"} <= {model["name"] for model in client.model_list()}
    assert "annotation" in {model["name"] for model in client.model_list(label="spleen")}
    session = client.create_session(str(image_file), expiry=60)["session_id"]
    for options in (
        {"image_in": None, "pre_process": False, "session_id": session},
        {"image_in": str(image_file), "pre_process": False},
    ):
        params = client.dextr3d("annotation", SIX, image_out=str(out), **options)
        assert params["points"] == SIX
        assert np.array_equal(sitk.GetArrayFromImage(sitk.ReadImage(str(out))), expected)
    # Cut and resampled by the client, so that it is another image.
    client.dextr3d("annotation", SIX, str(image_file), str(out), pad=5, roi_size="64x64x64")
    cut = sitk.GetArrayFromImage(sitk.ReadImage(str(out)))
    assert 2 * np.count_nonzero(cut & expected) / (np.count_nonzero(cut) + np.count_nonzero(expected)) > 0.8

    client.deepgrow("annotation", [[20, 17, 16]], [], None, str(out), current_point=[20, 17, 16], session_id=session)
    assert sitk.GetArrayFromImage(sitk.ReadImage(str(out)))[16, 17, 20] == 1
    params = client.segmentation("segmentation_hippocampus", None, str(out), session_id=session)
    assert np.array(params["points"]).shape in {(6, 3), (0,)}
    assert client.close_session(session)
    assert not client.close_session(session)
    with pytest.raises(client_module.AIAAException) as failure:
        client.segmentation("segmentation_hippocampus", None, str(out), session_id=session)
    assert failure.value.error == client_module.AIAAError.SESSION_EXPIRED
    with pytest.raises(client_module.AIAAException) as failure:
        client.dextr3d("annotation", SIX[:5], str(image_file), str(out), pre_process=False)
    assert (failure.value.error, "set six" in failure.value.msg) == (client_module.AIAAError.SERVER_ERROR, True)


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The C++ client's programs, compiled; Poco and nlohmann-json where the compiler finds them."""
    folder, source = tmp_path_factory.mktemp("cpp"), AIAA_SOURCE / "cpp-client"
    (folder / "probe.cpp").write_text("#include <Poco/Net/HTMLForm.h>\n#include <nlohmann/json.hpp>\n")
    options = ["-std=c++17", "-O0", "-w", "-include", "algorithm", "-include", "functional", f"-I{source / 'include'}"]
    try:
        probe = subprocess.run(
            ["g++", *options, "-fsyntax-only", folder / "probe.cpp"], capture_output=True, check=False
        )
    except FileNotFoundError:
        pytest.skip("the C++ client needs g++")
    if probe.returncode:
        pytest.skip(
            "the C++ client needs the headers of Poco and nlohmann-json: apt install libpoco-dev nlohmann-json3-dev"
        )
    (folder / "utils_without_itk.cpp").write_text(_NO_ITK)
    files = [*(source / "src" / f"{name}.cpp" for name in CPP_FILES), folder / "utils_without_itk.cpp"]
    for file in files:
        subprocess.run(["g++", *options, "-c", file, "-o", folder / f"{file.stem}.o"], check=True)
    objects = [folder / f"{file.stem}.o" for file in files]
    for name in CPP_PROGRAMS:
        program: list[str | Path] = [
            source / "tools" / "aiaa" / f"aiaa-{name}.cpp",
            *objects,
            "-lPocoNet",
            "-lPocoFoundation",
        ]
        subprocess.run(["g++", *options, *program, "-o", folder / name], check=True)
    return folder


@pytest.mark.slow
@pytest.mark.viewer("AIAA's C++ client")
def test_the_cpp_client_does_its_work(
    url: str, programs: Path, image_file: Path, expected: Array, tmp_path: Path
) -> None:
    def run(name: str, *options: object, code: int = 0) -> str:
        command = [str(each) for each in (programs / name, "-server", url, *options)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    def voxels(name: str) -> Array:
        array: Array = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / name)))
        return array

    assert "segmentation_hippocampus" in run("model")
    assert "annotation" in run("model", "-label", "spleen", "-type", "annotation")
    listed = run("session", "-op", "create", "-image", image_file)
    session = listed.rpartition("New Session ID: ")[2].strip()
    assert session in run("session", "-op", "get", "-session", session)
    points = json.dumps(SIX)
    for source in (("-session", session), ("-image", image_file)):
        run("dextra3d", "-model", "annotation", "-points", points, *source, "-output", "dextr3d.nii.gz")
        assert np.array_equal(voxels("dextr3d.nii.gz"), expected)
        click = ("-fpoints", "[[20,17,16]]", "-bpoints", "[]")
        run("deepgrow", "-model", "annotation", *click, *source, "-output", "deepgrow.nii.gz")
        assert voxels("deepgrow.nii.gz")[16, 17, 20] == 1
        run("segmentation", "-label", "anterior", *source, "-output", "labels.nii.gz")
        params = ("-params", json.dumps({"points": SIX}))
        run("inference", "-model", "annotation", *params, *source, "-output", "inference.nii.gz")
        assert np.array_equal(voxels("inference.nii.gz"), expected)
    mask = AIAA_SOURCE / "py_client" / "test-data" / "mask2polygon.input.nii.gz"
    suite = json.loads((AIAA_SOURCE / "py_client" / "aas_tests.json").read_text())["tests"]
    golden = next(test["polygons"] for test in suite if test["name"] == "test_fixpolygon_3d_spleen")
    run("mask-polygon", "-image", mask, "-ratio", 10, "-output", "polygons.json")
    assert json.loads((tmp_path / "polygons.json").read_text()) == golden
    square = [[2, 1], [6, 1], [10, 1], [10, 5], [10, 9], [6, 9], [2, 9], [2, 5]]
    sitk.WriteImage(sitk.GetImageFromArray(np.zeros((12, 16), np.uint8)), str(tmp_path / "slice.png"))
    vertex = ("-pindex", 0, "-vindex", 3, "-xoffset", 4, "-yoffset", 2)
    fixed = run("fix-polygon", "-poly", json.dumps([square]), *vertex, "-image", "slice.png", "-output", "fixed.png")
    assert "[14,7]" in fixed
    assert voxels("fixed.png")[7, 14] == 1

    run("session", "-op", "delete", "-session", session)
    last = ("-model", "annotation", "-points", points, "-session", session, "-output", "x.nii.gz")
    assert "nvidia.aiaa.error.105" in run("dextra3d", *last, code=255)
