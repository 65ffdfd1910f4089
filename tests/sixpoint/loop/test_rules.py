"""Rules from YAML: what is left out has a default, and what is wrong is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from sixpoint.errors import InvalidArgument
from sixpoint.loop import read_rules

pytest.importorskip("yaml")


def test_rules_are_read_from_yaml(tmp_path: Path) -> None:
    path = tmp_path / "rules.yaml"
    path.write_text("modality: CT\ntrain: {new_accepted: 4, minutes: 3}\npublish: {share: 0.2}\n")
    rules = read_rules(path)
    assert (rules.model, rules.train.new_accepted, rules.train.minutes) == ("annotation", 4, 3)
    assert (rules.publish.share, rules.gates.may_fall) == (0.2, 0.02)


def test_rules_say_which_models_learn(tmp_path: Path) -> None:
    path = tmp_path / "rules.yaml"
    path.write_text("modality: CT\nlearn: both\npublish: {share: 0.2}\nsegmentation: {model: organs, start: scratch}\n")
    rules = read_rules(path)
    assert [(task, rules.model_of(task), rules.share_of(task)) for task in rules.tasks] == [
        ("annotation", "annotation", 0.2),
        ("segmentation", "organs", 1.0),
    ]
    path.write_text("modality: CT\n")
    assert read_rules(path).tasks == ("annotation",)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", "expected names and values, such as modality: CT"),
        ("8,17,19 27,38,12", "expected names and values, such as modality: CT"),
        ("train: {}", "modality: field required"),
        ("modality: CT\ngate: {}", "there is no rule 'gate'; expected modality, learn, model,"),
        ("modality: CT\ngates: {fall: 1}", "there is no rule 'gates.fall'; expected may_fall, must_rise,"),
        ("modality: CT\ngates: {may_fall: 2}", "gates.may_fall: input should be less than or equal to 1"),
        ("modality: CT\npublish: {share: 0}", "publish.share: input should be greater than 0"),
        ("modality: [", "cannot be read"),
        ("modality: CT\nlearn: all", "learn: input should be 'annotation', 'segmentation' or 'both'"),
        ("modality: CT\ntrain: {new_accepted: some}", "train.new_accepted: input should be a valid integer"),
    ],
)
def test_wrong_rules_are_named(tmp_path: Path, text: str, error: str) -> None:
    path = tmp_path / "rules.yaml"
    path.write_text(text)
    with pytest.raises(InvalidArgument, match=error):
        read_rules(path)
