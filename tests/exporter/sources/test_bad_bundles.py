"""Incomplete, invalid and unsafe bundles: each problem gives one line that says what to do."""

from __future__ import annotations

import json
import re
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from exporter.sources.bundle.archive import unpack
from sixpoint.errors import InvalidArgument
from tests.exporter.bundles import write_bundle, zipped
from tests.exporter.command_line import run
from tests.exporter.unsafe import Bomb


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole") / "spleen"
    write_bundle(folder)
    return folder


@pytest.fixture
def bundle(whole: Path, tmp_path: Path) -> Path:
    with zipfile.ZipFile(zipped(whole)) as archive:
        archive.extractall(tmp_path)
    return tmp_path / "spleen"


def edit(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
    def edited(folder: Path) -> None:
        path = folder / "configs" / "inference.json"
        content = json.loads(path.read_text())
        change(content)
        path.write_text(json.dumps(content))

    return edited


def edit_metadata(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
    def edited(folder: Path) -> None:
        path = folder / "configs" / "metadata.json"
        content = json.loads(path.read_text())
        change(content["network_data_format"])
        path.write_text(json.dumps(content))

    return edited


def transforms(content: dict[str, Any]) -> list[dict[str, Any]]:
    result: list[dict[str, Any]] = content["preprocessing"]["transforms"]
    return result


def spoil(folder: Path) -> None:
    path = folder / "models" / "model.pt"
    state = torch.load(path, weights_only=True)
    next(iter(state.values())).fill_(float("nan"))
    torch.save(state, path)


def code(folder: Path) -> None:
    torch.save({"state_dict": {}, "extra": Bomb(folder.parent / "mark")}, folder / "models" / "model.pt")


def lambda_after(content: dict[str, Any]) -> None:
    content["postprocessing"]["transforms"].append({"_target_": "Lambdad", "keys": "pred", "func": "$lambda x: x"})


CASES: dict[str, tuple[Callable[[Path], object], str]] = {
    "no metadata": (
        lambda path: (path / "configs/metadata.json").unlink(),
        r"no configs/metadata\.json: it is not a MONAI",
    ),
    "no config": (lambda path: (path / "configs/inference.json").unlink(), r"no configs/inference\.json or \.yaml"),
    "no JSON": (lambda path: (path / "configs/inference.json").write_text("{"), r"neither YAML nor JSON"),
    "a list": (lambda path: (path / "configs/metadata.json").write_text("[]"), r"holds list, expected a mapping"),
    "no weights": (
        lambda path: (path / "models/model.pt").unlink(),
        r"no models/model\.pt: .* exporter pull.* --weights",
    ),
    "code in the weights": (code, r"Python objects \(\S*mkdir\).*state_dict\(\) alone"),
    "cut off weights": (
        lambda path: (path / "models/model.pt").write_bytes((path / "models/model.pt").read_bytes()[:3000]),
        r"not a PyTorch checkpoint, or is truncated",
    ),
    "NaN weights": (spoil, r"weights that are NaN or infinite"),
    "another network": (
        edit(lambda content: content["network_def"].update(channels=[8, 8, 16])),
        r"does not fit this UNet: wrong shape",
    ),
    "four channels": (
        edit(lambda content: content["network_def"].update(in_channels=4)),
        r"takes 4 channels, and one image gives 1 \(--spec FILE with input\.channels\)",
    ),
    "another count of labels": (
        edit(lambda content: content["network_def"].update(out_channels=5)),
        r"returns 5 channels, and the metadata names 1 labels and background \(--labels",
    ),
    "no labels": (
        edit_metadata(lambda tensors: tensors["outputs"]["pred"].pop("channel_def")),
        r"labels \(--labels NAME,NAME\)",
    ),
    "no orientation": (edit(lambda content: transforms(content).pop(2)), r"no Orientation .*\(--axes, as RAS\)"),
    "no spacing": (edit(lambda content: transforms(content).pop(3)), r"no Spacing .*\(--spacing X,Y,Z\)"),
    "no window": (edit(lambda content: content.pop("inferer")), r"no inferer .*\(--patch X,Y,Z\)"),
    "no network": (edit(lambda content: content.pop("network_def")), r"names no network \(--spec FILE with network"),
    "its own network": (
        edit(lambda content: content["network_def"].update(_target_="scripts.networks.Own")),
        r"scripts\.networks\.Own, .* own code is not run \(--spec FILE with network",
    ),
    "a misspelt network": (
        edit(lambda content: content["network_def"].update(_target_="SegResNt")),
        r"no network SegResNt: did you mean SegResNet\?",
    ),
    "an argument of code": (
        edit(lambda content: content["network_def"].update(channels="$torch.load('x')['channels']")),
        r"network_def's channels is \$torch\.load\('x'\)",
    ),
    "a transform of code": (
        edit(lambda content: transforms(content).append({"_target_": "scripts.Own"})),
        r"scripts\.Own is not supported, and the network may need it \(--ignore scripts\.Own, if it changes",
    ),
    "a lambda after it": (
        edit(lambda_after),
        r"postprocessing Lambda is not supported \(--ignore Lambda, if it does not change",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_each_problem_is_reported_in_one_line(case: str, bundle: Path, tmp_path: Path) -> None:
    damage, expected = CASES[case]
    damage(bundle)
    result = run("export", bundle, "--repository", tmp_path / "repository")
    assert result.exit_code in (3, 5), result.stdout
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1
    assert re.search(expected, result.stderr)
    assert not (tmp_path / "repository").exists()
    assert not (tmp_path / "mark").exists()


def test_all_missing_fields_are_reported_at_once_and_flags_supply_them(bundle: Path, tmp_path: Path) -> None:
    def forget(content: dict[str, Any]) -> None:
        del content["preprocessing"]["transforms"][2:4], content["inferer"], content["network_def"]["_target_"]
        lambda_after(content)

    edit(forget)(bundle)
    edit_metadata(lambda tensors: tensors.pop("outputs"))(bundle)
    result = run("export", bundle, "--repository", tmp_path / "repository")
    for flag in ("--axes", "--spacing", "--patch", "--labels", "--ignore", "--spec"):
        assert flag in result.stderr
    spec = tmp_path / "part.yaml"
    arguments = {"spatial_dims": 3, "in_channels": 1, "out_channels": 2, "channels": [4, 8, 16], "strides": [2, 2]}
    spec.write_text(
        yaml.safe_dump({"network": {"name": "UNet", "arguments": {**arguments, "num_res_units": 1, "norm": "batch"}}})
    )
    flags = ("--axes", "ras", "--spacing", "1,1,2", "--patch", "16,16,16", "--labels", "spleen", "--ignore", "Lambda")
    result = run("export", bundle, "--repository", tmp_path / "repository", "--spec", spec, *flags)
    assert result.exit_code == 0, result.stderr
    card = (tmp_path / "repository" / "spleen" / "README.md").read_text()
    assert "16 x 16 x 16 voxels of 1 x 1 x 2 mm" in card


@pytest.mark.parametrize("flag", [("--spacing", "1,1"), ("--patch", "96,96,a"), ("--patch", "96")])
def test_a_malformed_flag_is_reported(flag: tuple[str, str], bundle: Path) -> None:
    result = run("export", bundle, *flag)
    assert result.exit_code == 3
    assert f"{flag[0]} takes three numbers x,y,z" in result.stderr


# Archives


def archive(path: Path, *entries: tuple[str | zipfile.ZipInfo, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as opened:
        for name, content in entries:
            opened.writestr(name, content)
    return path


def link(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name)
    entry.external_attr = (stat.S_IFLNK | 0o777) << 16
    return entry


@pytest.mark.parametrize(
    ("entry", "content", "expected"),
    [
        ("../evil", b"x", "land outside"),
        ("a/../../evil", b"x", "land outside"),
        ("/etc/evil", b"x", "land outside"),
        ("..\\evil", b"x", "land outside"),
        ("C:evil", b"x", "land outside"),
        (link("models"), b"/etc", "a link or a device"),
        ("bomb", bytes(2**23), "times its size"),
    ],
)
def test_unsafe_archives_are_refused(
    entry: str | zipfile.ZipInfo, content: bytes, expected: str, tmp_path: Path
) -> None:
    folder = tmp_path / "deep" / "folder"
    folder.mkdir(parents=True)
    with pytest.raises(InvalidArgument, match=expected):
        unpack(archive(tmp_path / "evil.zip", ("configs/metadata.json", b"{}"), (entry, content)), folder)
    assert list(folder.iterdir()) == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["deep", "evil.zip"]


def test_an_archive_that_unpacks_to_too_much_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="unpacks to 100 bytes, expected at most 99"):
        unpack(archive(tmp_path / "large.zip", ("a", bytes(100))), tmp_path, max_bytes=99)


@pytest.mark.parametrize("part", [0.0, 0.5, 0.99])
def test_a_truncated_archive_is_reported(part: float, whole: Path, tmp_path: Path) -> None:
    content = zipped(whole).read_bytes()
    path = tmp_path / "cut.zip"
    path.write_bytes(content[: int(part * len(content))])
    result = run("export", path, "--repository", tmp_path / "repository")
    assert result.exit_code == 3
    assert "cut.zip is not a zip archive, or is truncated or damaged: download it again" in result.stderr
