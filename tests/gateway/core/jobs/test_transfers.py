"""Datasets written to a folder by jobs and read again: what comes back is what was there, and nothing else is read."""

from __future__ import annotations

import asyncio
import errno
import gzip
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gateway.core.access import Role
from gateway.core.jobs import JobKinds, JobRow, JobState, Request
from sixpoint.datasets import read_manifest, verify_manifest
from sixpoint.errors import DatasetError, FailedPrecondition, InvalidArgument, StorageFull
from sixpoint.volume import write_image
from tests.gateway.core.jobs.transfer_sites import ADA, CASES, Context, Site, open_site
from tests.support.callers import caller


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    async with open_site(tmp_path) as opened:
        yield opened


@pytest.mark.parametrize("layout", ["nnunet", "msd", "bids"])
async def test_what_is_exported_comes_back(site: Site, layout: str) -> None:
    context = Context()
    await site.run("export", context, dataset="liver", name="out", modality="CT", layout=layout)
    assert context.done == [(1, 3), (2, 3), (3, 3)]
    assert context.lines == ["wrote 3 for training to out, left out 0"]
    folder = site.root / "default/out"
    assert not verify_manifest(folder)
    assert [path.name for path in folder.parent.iterdir()] == ["out"]
    again = Context(job_id="b")
    await site.run("export", again, dataset="liver", name="out", modality="CT", layout=layout)
    assert again.lines == ["there already: 3 for training to out, left out 0"]
    assert [path.name for path in folder.parent.iterdir()] == ["out"]

    context = Context()
    options: dict[str, Any] = {"complete": True, "accept": True}
    await site.run("import", context, dataset="copy", name="out", **options)
    assert context.lines == ["imported 3, there already 0, left out 0"]
    assert context.done[-1] == (3, 3)
    names = {case.image_digest: case.case_name for case in read_manifest(folder).cases}
    came = await site.state("copy")
    assert {each[1:] for each in came} == {each[1:] for each in await site.state("liver")}
    assert layout == "bids" or {each[0] for each in came} == {*names.values()}
    await site.run("import", context, dataset="copy", name="out", **options)
    assert context.lines[-1] == "imported 0, there already 3, left out 0"
    assert await site.state("copy") == came


async def test_an_export_that_is_stopped_goes_on(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    read = 0

    def count(*given: Any) -> None:
        nonlocal read
        read += 1
        write_image(*given)

    monkeypatch.setattr("sixpoint.datasets.export.write_image", count)
    options: dict[str, Any] = {"dataset": "liver", "name": "out", "modality": "CT"}
    first = Context()
    task = asyncio.create_task(site.run("export", first, **options))
    first.on_progress = task.cancel
    with pytest.raises(asyncio.CancelledError):
        await task
    done, (left,) = read, site.root.joinpath("default").iterdir()
    assert 0 < done < 3
    assert left.name.startswith(".out.a.")
    await site.run("export", Context(), **options)
    assert read == 3, (done, read)
    assert not verify_manifest(site.root / "default/out")
    assert {path.name for path in (site.root / "default/out").rglob("*") if path.is_file()} == {
        *("manifest.json", "dataset.json"),
        *(f"{case}{end}.nii.gz" for case in CASES for end in ("", "_0000")),
    }
    # Of a job that nobody knows any more.
    (site.root / f"default/.other.c.{'0' * 16}").mkdir()
    await site.run("export", Context(job_id="b"), **options)
    assert [path.name for path in site.root.joinpath("default").iterdir()] == ["out"]


@pytest.mark.parametrize(("wish", "kept"), [(Request.CANCEL, 0), (Request.PAUSE, 1)])
async def test_what_a_cancelled_export_has_written_is_removed_and_of_a_paused_one_kept(
    site: Site, wish: Request, kept: int
) -> None:
    options: dict[str, Any] = {"dataset": "liver", "name": "out", "modality": "CT"}
    row = JobRow("a", "default", "ada", Role.ADMIN, "export", options, JobState.RUNNING, 1.0, wish)
    await site.stores.jobs.write(lambda records: records.insert_job(row), tenant="default")
    context = Context()
    task = asyncio.create_task(site.run("export", context, **options))
    context.on_progress = task.cancel
    with pytest.raises(asyncio.CancelledError):
        await task
    assert len(context.done) < len(CASES)
    assert len(list(site.root.joinpath("default").iterdir())) == kept


async def test_a_name_is_not_taken_twice(site: Site) -> None:
    options: dict[str, Any] = {"dataset": "liver", "name": "out", "modality": "CT"}
    await site.run("export", Context(), **options)
    for changes in ({"modality": "MR"}, {"layout": "msd"}, {"labels": ["organ"]}):
        with pytest.raises(FailedPrecondition, match="there is an export out already"):
            await site.run("export", Context(job_id="b"), **options | changes)
    await site.run("export", Context(principal=caller("bob"), job_id="b"), **options)
    (site.root / "default/out/imagesTr/one_0000.nii.gz").write_bytes(b"damaged")
    with pytest.raises(FailedPrecondition, match=r"one_0000\.nii\.gz has changed"):
        await site.run("export", Context(job_id="b"), **options)
    assert [path.name for path in site.root.joinpath("default").iterdir()] == ["out"]


async def test_a_full_disk_is_told_without_paths_and_the_job_goes_on(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    options: dict[str, Any] = {"dataset": "liver", "name": "out", "modality": "CT"}

    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(site.root))

    with monkeypatch.context() as patch:
        patch.setattr("sixpoint.volume._write_new", full)
        with pytest.raises(StorageFull) as refused:
            await site.run("export", Context(), **options)
    assert str(site.root) not in refused.value.message
    await site.run("export", Context(), **options)
    assert not verify_manifest(site.root / "default/out")


@pytest.mark.parametrize(
    ("kind", "changes", "named"),
    [
        ("export", {"name": "../other"}, "name"),
        ("export", {"name": ".hidden"}, "name"),
        ("export", {"name": "a/b"}, "name"),
        ("export", {"name": "/etc"}, "name"),
        ("export", {"layout": "dicom-seg"}, "layout"),
        ("export", {"modality": "CT ../"}, "modality"),
        ("export", {"sources": ["/etc"]}, "sources"),
        ("import", {"name": "dicomweb:http://x#1"}, "name"),
        ("import", {"name": ".."}, "name"),
        ("import", {"layout": "dicomweb"}, "layout"),
        ("import", {"patient": "(a+)+$"}, "patient"),
        ("import", {"labels": {"0": "x"}}, "labels"),
    ],
)
async def test_a_parameter_is_never_a_path(site: Site, kind: str, changes: dict[str, Any], named: str) -> None:
    parameters = {"dataset": "liver", "name": "out", **({"modality": "CT"} if kind == "export" else {}), **changes}
    with pytest.raises(InvalidArgument, match=f"parameter '{named}"):
        site.services.job_kinds.parse(kind, parameters)


async def _exported(site: Site) -> Path:
    await site.run("export", Context(), dataset="liver", name="out", modality="CT")
    return site.root / "default/out"


async def test_an_import_reads_nothing_outside_its_folder(site: Site, tmp_path: Path) -> None:
    folder = await _exported(site)
    eve = caller("eve", tenant="north")
    shares = {"validation_share": 0.0, "test_share": 0.0}
    await site.stores.datasets.create("copy", labels=[], principal=eve, **shares)
    (site.root / "north").mkdir()
    (site.root / "north/theirs").symlink_to(folder)
    with pytest.raises(FailedPrecondition, match="a link that leads elsewhere"):
        await site.run("import", Context(eve), dataset="copy", name="theirs")
    secret = tmp_path / "secret.nii.gz"
    (folder / "imagesTr/one_0000.nii.gz").rename(secret)
    (folder / "imagesTr/one_0000.nii.gz").symlink_to(secret)
    with pytest.raises(FailedPrecondition, match=r"holds a link, imagesTr/one_0000\.nii\.gz"):
        await site.run("import", Context(), dataset="copy", name="out")
    with pytest.raises(FailedPrecondition, match="there is no folder missing"):
        await site.run("import", Context(), dataset="copy", name="missing")
    assert not (await site.stores.datasets.images("copy", principal=ADA)).entries


async def test_what_cannot_be_imported_is_left_out_and_told_without_paths(site: Site) -> None:
    folder = await _exported(site)
    (folder / "imagesTr/one_0000.nii.gz").write_bytes(b"damaged")
    content = bytearray(gzip.decompress((folder / "imagesTr/two_0000.nii.gz").read_bytes()))
    content[42:48] = np.array([30000, 30000, 30000], "<i2").tobytes()
    (folder / "imagesTr/two_0000.nii.gz").write_bytes(gzip.compress(bytes(content)))
    context = Context()
    await site.run("import", context, dataset="copy", name="out")
    assert context.lines[-1] == "imported 1, there already 0, left out 2"
    assert not any(str(site.root) in line for line in context.lines)
    (two,) = (line for line in context.lines if line.startswith("left out two"))
    assert "SIXPOINT_MAX_IMAGE_BYTES" in two
    (folder / "dataset.json").write_text("{")
    with pytest.raises(DatasetError, match=r"dataset\.json cannot be read") as refused:
        await site.run("import", context, dataset="copy", name="out")
    assert str(site.root) not in refused.value.message
    (folder / "dataset.json").write_text(json.dumps({"labels": {"a": 1}, "training": [{"image": "../x", "label": ""}]}))
    with pytest.raises(DatasetError, match="outside of the folder"):
        await site.run("import", context, dataset="copy", name="out", layout="msd")


async def test_kinds_that_are_off_say_what_to_set(site: Site) -> None:
    kinds = site.services.job_kinds
    export = {"dataset": "liver", "name": "out", "modality": "CT"}
    with pytest.raises(FailedPrecondition, match=r"SIXPOINT_WORKER_KINDS .* SIXPOINT_EXPORT_FOLDER"):
        JobKinds([kinds.get("export")], run_here=["segment"]).parse("export", export)
    for kind, parameters in (("export", export), ("import", {"dataset": "liver", "name": "out"})):
        found, parsed = kinds.parse(kind, parameters)
        found._folder = None  # type: ignore[attr-defined]
        with pytest.raises(FailedPrecondition, match=f"set SIXPOINT_{kind.upper()}_FOLDER"):
            await found.check(parsed, principal=ADA)
