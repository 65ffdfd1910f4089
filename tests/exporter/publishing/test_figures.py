"""A version whose figures are worse than those of the serving one is refused, and what was not compared is named."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from exporter.publishing.figures import FigureComparison, compare_figures
from exporter.publishing.prepared import PreparedModel
from exporter.publishing.publish import publish
from exporter.publishing.versions import promote, rollback
from exporter.repository.folder import FolderRepository
from sixpoint.errors import FailedPrecondition
from sixpoint.model_spec import ModelSpec
from tests.exporter.command_line import run
from tests.exporter.publish_helpers import SPEC, states

HIPPOCAMPUS = {"dataset": "hippocampus"}
GOOD = {"dice": 0.8647, "dice_anterior": 0.8728, "dice_posterior": 0.8565}
POOR = {"dice": 0.0865, "dice_anterior": 0.0873, "dice_posterior": 0.0857}


def measured(metrics: Mapping[str, float], provenance: Mapping[str, str] = HIPPOCAMPUS) -> ModelSpec:
    return SPEC.model_copy(update={"metrics": dict(metrics), "provenance": dict(provenance)})


def with_figures(
    one: PreparedModel, metrics: Mapping[str, float], provenance: Mapping[str, str] = HIPPOCAMPUS
) -> PreparedModel:
    return replace(one, config=replace(one.config, spec=measured(metrics, provenance)))


@pytest.fixture
def models(tmp_path: Path, tiny: PreparedModel) -> FolderRepository:
    """A repository whose version 1 is good."""
    made = FolderRepository(tmp_path / "repository")
    publish(made, with_figures(tiny, GOOD), triton=None)
    return made


def compared(
    new: Mapping[str, float],
    old: Mapping[str, float],
    data: tuple[Mapping[str, str], Mapping[str, str]] = (HIPPOCAMPUS, HIPPOCAMPUS),
) -> FigureComparison:
    return compare_figures(measured(new, data[0]), measured(old, data[1]), serving=1)


@pytest.mark.parametrize(
    ("new", "old", "worse"),
    [
        (GOOD, GOOD, False),
        (POOR, GOOD, True),
        (GOOD, POOR, False),
        ({"dice": 0.80}, {"dice": 0.82}, False),
        ({"dice": 0.7999}, {"dice": 0.82}, True),
        # One label is lost, although the mean is as good.
        ({"dice": 0.82, "dice_pancreas": 0.1}, {"dice": 0.82, "dice_pancreas": 0.7}, True),
        ({"mean_dice": 79.0}, {"mean_dice": 82.0}, True),
        ({"mean_dice": 81.0}, {"mean_dice": 82.0}, False),
        ({"dice": float("nan")}, {"dice": 0.82}, True),
        ({"hd95_mm": 5.4}, {"hd95_mm": 5.0}, False),
        ({"hd95_mm": 5.6}, {"hd95_mm": 5.0}, True),
        # The ellipsoid is no network.
        ({"dice": 0.8, "dice_ellipsoid": 0.3}, {"dice": 0.8, "dice_ellipsoid": 0.5}, False),
    ],
)
def test_worse_figures(new: Mapping[str, float], old: Mapping[str, float], worse: bool) -> None:
    assert compared(new, old).worse is worse


@pytest.mark.parametrize(
    ("new", "old", "data", "reasons"),
    [
        ({}, GOOD, (HIPPOCAMPUS, HIPPOCAMPUS), dict.fromkeys(GOOD, "this version lacks them")),
        (GOOD, {}, (HIPPOCAMPUS, HIPPOCAMPUS), dict.fromkeys(GOOD, "version 1 lacks them")),
        ({"loss": 0.1}, {"loss": 0.2}, ({}, {}), {"loss": "since it is unknown whether more is better"}),
        ({"dice_loss": 0.3}, {"dice_loss": 0.1}, ({}, {}), {"dice_loss": "since it is unknown whether more is better"}),
        ({"dice_std": 0.1}, {"dice_std": 0.3}, ({}, {}), {"dice_std": "since it is unknown whether more is better"}),
        ({"dice": 80.0}, {"dice": 0.8}, ({}, {}), {"dice": "since one version states them in percent"}),
        (
            {"dice": 0.7},
            {"dice": 0.8},
            ({"dataset": "liver"}, HIPPOCAMPUS),
            {"dice": "since they were measured on liver, and those of version 1 on hippocampus"},
        ),
        (
            {"dice": 0.7},
            {"dice": 0.8},
            ({"dataset": "liver"}, {}),
            {"dice": "since they were measured on liver, and those of version 1 on data that the spec does not name"},
        ),
    ],
)
def test_what_cannot_be_compared_is_named(
    new: Mapping[str, float],
    old: Mapping[str, float],
    data: tuple[Mapping[str, str], Mapping[str, str]],
    reasons: Mapping[str, str],
) -> None:
    comparison = compared(new, old, data)
    assert comparison.not_compared == reasons
    assert not comparison.compared
    assert not comparison.worse
    (line,) = comparison.lines()
    assert line == f"figures not compared, {next(iter(reasons.values()))}: {', '.join(reasons)}"


@pytest.mark.parametrize(
    ("new", "old"), [("dice", "dice_points"), ("dice", "dice"), ("dice", "synthetic_dice"), ("mean_dice", "dice")]
)
def test_a_tenth_is_worse_on_any_data(new: str, old: str) -> None:
    data = ({"dataset": "liver"}, {"labelled_images": "many"})
    comparison = compared({new: 0.08}, {old: 0.8127}, data)
    assert comparison.worse
    assert f"{new} 0.08, not half of the {old} 0.8127" in comparison.lines()[-1]
    assert new in comparison.not_compared
    assert not compared({new: 0.5}, {old: 0.8127}, data).worse


def test_figures_of_synthetic_scenes_are_compared() -> None:
    metrics = {"synthetic_dice": 0.7, "synthetic_dice_ellipsoid": 0.4}
    comparison = compared(metrics, {"synthetic_dice": 0.78, "dice_points": 0.8}, (HIPPOCAMPUS, {}))
    assert set(comparison.compared) == {"synthetic_dice"}
    assert comparison.worse
    assert comparison.not_compared == {"dice_points": "this version lacks them"}


def test_a_dataset_whose_files_have_changed_is_said() -> None:
    first, second = ({**HIPPOCAMPUS, "dataset_sha256": digest} for digest in ("aa", "bb"))
    assert len(compared(GOOD, GOOD, (first, first)).lines()) == 1
    assert len(compared(GOOD, GOOD, (first, HIPPOCAMPUS)).lines()) == 1
    assert compared(GOOD, GOOD, (second, first)).lines()[1] == (
        "note: the files of hippocampus have changed since version 1 was measured, so that the figures may be of other "
        "cases"
    )
    assert compared(POOR, GOOD, (second, first)).worse


def test_no_figures_are_said() -> None:
    assert compared({}, {}).lines() == ["figures not compared: neither this version nor version 1 has any"]


@pytest.mark.parametrize("share", [1.0, 0.1])
def test_a_worse_version_is_published_by_force_only(
    models: FolderRepository, tiny: PreparedModel, share: float
) -> None:
    before = (models.folder / "tiny" / "config.pbtxt").read_bytes()
    refused = r"worse than version 1 of tiny, which serves .*: dice 0.0865 \(0.8647\).*--force"
    with pytest.raises(FailedPrecondition, match=refused):
        publish(models, with_figures(tiny, POOR), triton=None, share=share)
    assert models.versions("tiny") == [1]
    assert (models.folder / "tiny" / "config.pbtxt").read_bytes() == before
    published = publish(models, with_figures(tiny, POOR), triton=None, share=share, force=True)
    assert published.version == 2
    assert published.figures is not None
    assert published.figures.worse


def test_the_version_that_serves_counts(models: FolderRepository, tiny: PreparedModel) -> None:
    publish(models, with_figures(tiny, POOR), triton=None, force=True)
    # Version 2 serves: what is better than it is welcome, until version 1 serves again.
    half = {name: value * 5 for name, value in POOR.items()}
    assert publish(models, with_figures(tiny, half), triton=None).version == 3
    rollback(models, "tiny", to=1, triton=None)
    with pytest.raises(FailedPrecondition, match="worse than version 1"):
        publish(models, with_figures(tiny, half), triton=None)


def test_more_sessions_for_a_worse_version_need_force(models: FolderRepository, tiny: PreparedModel) -> None:
    publish(models, with_figures(tiny, POOR), triton=None, share=0.1, force=True)
    for share in (0.2, 1.0):
        with pytest.raises(FailedPrecondition, match="worse than version 1 of tiny"):
            promote(models, "tiny", 2, share=share, triton=None)
    # Fewer sessions are always possible.
    assert promote(models, "tiny", 2, share=0.05, triton=None).figures is not None
    promote(models, "tiny", 2, share=0, triton=None)
    with pytest.raises(FailedPrecondition, match="worse than version 1 of tiny"):
        promote(models, "tiny", 2, share=0.05, triton=None)
    promote(models, "tiny", 2, share=1, triton=None, force=True)
    assert states(models) == {1: ("loaded", 0), 2: ("serving", 1)}


def test_a_rollback_to_a_worse_version_says_the_figures(models: FolderRepository, tiny: PreparedModel) -> None:
    better = {name: value + 0.05 for name, value in GOOD.items()}
    publish(models, with_figures(tiny, better), triton=None)
    switched = rollback(models, "tiny", to=None, triton=None)
    assert switched.version == 1
    assert switched.figures is not None
    assert switched.figures.worse


def test_a_version_without_record_was_not_measured(models: FolderRepository, tiny: PreparedModel) -> None:
    publish(models, with_figures(tiny, GOOD), triton=None)
    (models.folder / "tiny" / "1" / "version.json").unlink()
    switched = rollback(models, "tiny", to=1, triton=None)
    assert switched.figures is not None
    assert set(switched.figures.not_compared) == set(GOOD)


def test_a_first_version_is_not_put_on_trial(tiny: PreparedModel, tmp_path: Path) -> None:
    models = FolderRepository(tmp_path / "repository")
    expected = f"no version of tiny serves in {tmp_path / 'repository'}, so that a first one would get all sessions"
    with pytest.raises(FailedPrecondition, match=expected):
        publish(models, tiny, triton=None, share=0.1)
    assert models.versions("tiny") == []


def test_the_commands(models: FolderRepository, tiny: PreparedModel, tmp_path: Path) -> None:
    source = FolderRepository(tmp_path / "source")
    publish(source, with_figures(tiny, POOR), triton=None)
    where = ("--repository", models.folder)
    refused = run("publish", source.folder / "tiny", *where)
    assert refused.exit_code == 5
    assert "worse than version 1 of tiny" in refused.stderr
    assert "--force" in refused.stderr
    forced = run("publish", source.folder / "tiny", *where, "--force", "--share", 0.1)
    assert forced.exit_code == 0, forced.stderr
    assert "figures (version 1 in brackets): dice 0.0865 (0.8647)" in forced.stdout
    assert "warning: worse than version 1: dice 0.0865 (0.8647)" in forced.stdout
    refused = run("promote", "tiny", 2, "--share", 1, *where, "--json")
    assert refused.exit_code == 5
    assert json.loads(refused.stdout)["error"]["reason"] == "FAILED_PRECONDITION"
    done = run("promote", "tiny", 2, "--share", 1, *where, "--force", "--json")
    content = json.loads(done.stdout)
    assert (content["version"], content["state"], content["figures"]["worse"]) == (2, "serves", True)
    assert content["figures"]["compared"]["dice"] == {"new": 0.0865, "old": 0.8647, "worse": True}
    done = run("rollback", "tiny", *where)
    assert done.stdout.splitlines()[:2] == [
        "tiny version 1 serves",
        "figures (version 2 in brackets): dice 0.8647 (0.0865), dice_anterior 0.8728 (0.0873), "
        "dice_posterior 0.8565 (0.0857)",
    ]
    done = run("publish", models.folder / "tiny", *where, "--json")
    assert json.loads(done.stdout)["figures"]["serving"] == 1


def test_a_first_version_on_trial_is_refused_before_the_export(tmp_path: Path) -> None:
    done = run("publish", "nowhere.pt", "--name", "new", "--share", 0.1, "--repository", tmp_path)
    assert done.exit_code == 5
    assert f"no version of new serves in {tmp_path}" in done.stderr
