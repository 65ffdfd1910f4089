"""``sixpoint resume``, ``sessions``, ``close`` and ``doctor`` against a real gateway."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

import sixpoint
from gateway.triton.local.server import LocalTriton
from tests.end_to_end.command_line import run
from tests.support.ports import free_port
from tests.support.servers import running_gateway


@pytest.fixture
def session(server: str, phantom: Path, tmp_path: Path) -> str:
    """Id of an open session in which the liver was outlined."""
    done = run(
        "sixpoint",
        "annotate",
        phantom / "image.nii.gz",
        "-f",
        phantom / "liver.json",
        "-o",
        tmp_path / "first.nii.gz",
        "--keep",
        "--json",
        server=server,
    )
    assert done.returncode == 0, done.stderr
    return str(json.loads(done.stdout)["session"])


def test_a_session_is_resumed(server: str, session: str, phantom: Path, tmp_path: Path) -> None:
    first = sixpoint.Volume.read(tmp_path / "first.nii.gz").array
    z, y, x = np.argwhere(first)[len(np.argwhere(first)) // 2]
    done = run("sixpoint", "resume", session, "--click", f"-{x},{y},{z}", "-o", tmp_path / "all.nii.gz", server=server)
    assert done.returncode == 0, done.stderr
    assert "6 extreme points" in done.stdout
    assert f"-{x},{y},{z}" in done.stdout
    assert sixpoint.Volume.read(tmp_path / "all.nii.gz").array[z, y, x] == 0

    other = json.loads((phantom / "spleen.json").read_text())["points"]
    points = " ".join(",".join(map(str, point)) for point in other)
    picture = tmp_path / "spleen.png"
    more = ["--segment", "2", "--name", "spleen", "--points", points, "--preview", picture]
    done = run(
        "sixpoint", "resume", session, *more, "--image", phantom / "image.nii.gz", "-o", tmp_path / "all.nii.gz",
        "--json", server=server,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout)
    assert [(info["number"], info["name"]) for info in facts["segments"]] == [(1, ""), (2, "spleen")]
    assert [step["segment"] for step in facts["steps"]] == [1, 1, 2]
    assert set(np.unique(sixpoint.Volume.read(tmp_path / "all.nii.gz").array)) == {0, 1, 2}
    assert picture.read_bytes().startswith(b"\x89PNG")

    for options, message in (
        (["--undo", "3"], "2 steps to undo, not 3"),
        (["--redo", "1"], "0 steps to redo, not 1"),
    ):
        done = run("sixpoint", "resume", session, *options, server=server)
        assert done.returncode == 5
        assert message in done.stderr
    assert "undone" not in run("sixpoint", "resume", session, server=server).stdout, "a refused command changes nothing"

    done = run("sixpoint", "resume", session, "--undo", "1", "-o", tmp_path / "back.nii.gz", server=server)
    assert done.returncode == 0, done.stderr
    assert "undone" in done.stdout
    assert np.array_equal(sixpoint.Volume.read(tmp_path / "back.nii.gz").array == 1, first != 0)


def test_if_the_mask_cannot_be_written_the_kept_session_is_named(server: str, phantom: Path, tmp_path: Path) -> None:
    # Only writing reveals that the link is broken.
    output = tmp_path / "link.nii.gz"
    output.symlink_to(tmp_path / "nowhere" / "mask.nii.gz")
    image, points = phantom / "image.nii.gz", phantom / "liver.json"
    done = run("sixpoint", "annotate", image, "-f", points, "-o", output, "--keep", server=server)
    assert done.returncode == 3
    kept = re.search(r"the session is still open: sixpoint resume (\S+) -o FILE", done.stderr)
    assert kept, done.stderr
    again = run("sixpoint", "resume", kept[1], "-o", tmp_path / "mask.nii.gz", server=server)
    assert again.returncode == 0, again.stderr
    assert sixpoint.Volume.read(tmp_path / "mask.nii.gz").array.any()


def test_sessions_are_listed_and_closed(server: str, session: str) -> None:
    listed = json.loads(run("sixpoint", "sessions", "--json", server=server).stdout)
    assert session in [info["session"] for info in listed]
    assert session in run("sixpoint", "sessions", server=server).stdout
    assert json.loads(run("sixpoint", "sessions", "--json", server=server, SIXPOINT_OWNER="nobody").stdout) == []
    of_version = ("sixpoint", "sessions", "--model", "annotation", "--version")
    served = {
        model["name"]: model["version"]
        for model in json.loads(run("sixpoint", "models", "--json", server=server).stdout)
    }
    assert session in run(*of_version, served["annotation"], server=server).stdout
    assert "other owners" in run(*of_version, served["annotation"], server=server, SIXPOINT_OWNER="nobody").stdout
    assert json.loads(run(*of_version, "99", "--json", server=server).stdout) == []
    assert run("sixpoint", "sessions", "--version", "1", server=server).returncode == 2
    closed = run("sixpoint", "close", session, server=server)
    assert (closed.returncode, closed.stdout) == (0, f"closed {session}\n")


def test_an_id_that_no_open_session_has_is_not_found(server: str, session: str) -> None:
    typo = "fqgwjm62dynp8sbxe3vkrhta5c"
    for command in ("resume", "close"):
        done = run("sixpoint", command, typo, server=server)
        assert (done.returncode, done.stdout) == (4, "")
        assert "no session has this id: it is closed already, or never existed" in done.stderr
    several = run("sixpoint", "close", typo, session, "--json", server=server)
    assert several.returncode == 4
    error = json.loads(several.stdout)["error"]
    assert error["reason"] == "SESSION_NOT_FOUND"
    assert error["message"].endswith(f"; closed: {session}")
    for command in ("resume", "close"):
        assert run("sixpoint", command, session, server=server).returncode == 4


def test_an_initial_mask_starts_an_object(server: str, session: str, phantom: Path, tmp_path: Path) -> None:
    labels = phantom / "labels.nii.gz"
    done = run(
        "sixpoint", "annotate", phantom / "image.nii.gz", "--mask", f"{labels}:1", "-o", tmp_path / "same.nii.gz",
        server=server,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    same = sixpoint.Volume.read(tmp_path / "same.nii.gz").array
    assert np.array_equal(same, sixpoint.Volume.read(labels).array == 1)
    wrong = run("sixpoint", "resume", session, "--mask", f"{labels}:99", server=server)
    assert wrong.returncode == 3
    assert "no voxel of label 99" in wrong.stderr
    mirrored = tmp_path / "mirrored.nii.gz"
    volume = sixpoint.Volume.read(labels)
    place = sixpoint.Geometry(volume.geometry.size, direction=(-1, 0, 0, 0, -1, 0, 0, 0, 1))
    sixpoint.Volume(volume.array, place).write(mirrored)
    wrong = run("sixpoint", "resume", session, "--reset", "--mask", f"{mirrored}:1", server=server)
    assert wrong.returncode == 3
    assert "lies on another grid than the image" in wrong.stderr
    assert "undone" not in run("sixpoint", "resume", session, server=server).stdout, "a refused command changes nothing"


def test_the_doctor_finds_nothing_wrong_with_a_working_gateway(server: str) -> None:
    done = run("sixpoint", "doctor", server=server)
    assert done.returncode == 0, done.stdout
    assert "wrong" not in done.stdout
    findings = json.loads(run("sixpoint", "doctor", "--json", server=server).stdout)
    assert "already has its" in findings[-2]["seen"]
    assert [finding["what"] for finding in findings] == [
        "client",
        "connection",
        "gateway",
        "Triton",
        "an upload",
        "a prompt",
    ]
    assert all(finding["well"] for finding in findings)


def test_the_doctor_says_what_is_wrong_and_what_to_do(triton: LocalTriton) -> None:
    nothing = run("sixpoint", "doctor", server=f"127.0.0.1:{free_port()}")
    assert nothing.returncode == 7
    assert "nothing listens" in nothing.stdout
    assert "make serve" in nothing.stdout
    another = run("sixpoint", "doctor", server=triton.address)
    assert another.returncode == 7
    assert "not a sixpoint gateway" in another.stdout
    assert "NVIDIA Triton answers like this" in another.stdout
    models = run("sixpoint", "models", server=triton.address)
    assert models.returncode == 7
    assert "NVIDIA Triton answers like this" in models.stderr
    assert "ok    gateway" not in another.stdout
    for wrong in ("no port", f"http://{triton.address}"):
        refused = run("sixpoint", "doctor", "--server", wrong)
        assert refused.returncode == 7
        assert "wrong address" in refused.stdout
    assert "cannot be resolved" in run("sixpoint", "doctor", server="no.such.name.invalid:1").stdout


def test_the_doctor_distinguishes_an_absent_triton_from_an_absent_gateway() -> None:
    with running_gateway(ready=False, triton_url=f"127.0.0.1:{free_port()}") as lonely:
        done = run("sixpoint", "doctor", "--json", server=f"127.0.0.1:{lonely.port}")
    assert done.returncode == 7
    findings = json.loads(done.stdout)
    assert [(finding["what"], finding["well"]) for finding in findings][-2:] == [("gateway", True), ("Triton", False)]
    assert "SIXPOINT_TRITON_URL" in findings[-1]["advice"]
