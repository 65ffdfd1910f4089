"""Configs are data: references and plain expressions are evaluated, code never is, and what it gives stays unknown."""

from __future__ import annotations

from pathlib import Path

import pytest

from exporter.sources.bundle.data.config import Config
from exporter.sources.bundle.data.expression import Unknown, UnknownValueError
from exporter.sources.mapping import read_mapping
from sixpoint.errors import InvalidArgument


def test_no_code_of_a_config_runs(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    texts = [
        f"$__import__('os').mkdir({str(mark)!r})",
        f"$(lambda: open({str(mark)!r}, 'w'))()",
        f"$[c for c in ().__class__.__base__.__subclasses__()][0]({str(mark)!r})",
        f"$open({str(mark)!r}, 'w')",
        "$'{0.__class__}'.format(1)",
        "$'x' * 10 ** 9",
        "$'x' * 1000000000",
        "$'%1000000000d' % 1",
        "$[[0] * 99999] * 99999",
    ]
    for text in texts:
        found = Config({"a": text}).get("a")
        assert isinstance(found, Unknown)
        assert found.text == text
    assert not mark.exists()


IMPORTS = ["$import os", "$from monai.utils import BlendMode as Mode", "$import numpy as np", "not Python", 3]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("$1.5 * 2 - 1", 2.0),
        ("$[@a, @n#b] + list(@n.keys())", [3, 4, "b"]),
        ("$len(@n) if @a > 2 and not False else 'x'", 1),
        ("$@l[1:]", [2]),
        ("@n::b", 4),
        ("%n#b", 4),
        ("$@path + '/model.pt'", "./models/model.pt"),
        ("$os.path.join(@path, 'model.pt')", "./models/model.pt"),
        ("$monai.utils.CommonKeys.IMAGE", "image"),
        ("$monai.utils.enums.BlendMode.GAUSSIAN.value", "gaussian"),
        ("$Mode.GAUSSIAN", "gaussian"),
        ("$[torch.float32, np.int16]", ["float32", "int16"]),
    ],
)
def test_plain_data_is_evaluated(text: str, expected: object) -> None:
    data = {
        "a": 3,
        "n": {"b": 4},
        "l": [1, 2],
        "root": ".",
        "imports": IMPORTS,
        "path": "$@root + '/models'",
        "x": text,
    }
    assert Config(data).get("x") == expected


def test_a_value_that_only_code_can_tell_is_never_tested_or_compared() -> None:
    unknown = Unknown("$f()")
    for test in (bool, lambda value: value == 1, lambda value: value in [1], lambda value: "a" in [value], hash):
        with pytest.raises(UnknownValueError, match=r"\$f\(\) can be computed by running code only"):
            test(unknown)
    found = Config({"a": "$f()", "b": "$1 if @a else 2", "c": "$@a in [1]", "d": "$not @a"})
    assert all(isinstance(found.get(name), Unknown) for name in "bcd")


@pytest.mark.parametrize("text", ["$monai.utils.CommonKeys.OTHER", "$CommonKeys.IMAGE", "$os.environ.A", "$torch.load"])
def test_other_names_are_not_known(text: str) -> None:
    assert isinstance(Config({"a": text}).get("a"), Unknown)


def test_circular_and_multiplying_references_end() -> None:
    assert isinstance(Config({"a": "@b", "b": "$@a + 1"}).get("a"), Unknown)
    many = {f"a{index}": [f"@a{index + 1}"] * 10 for index in range(20)}
    with pytest.raises(InvalidArgument, match="multiply"):
        Config(many).get("a0")


def test_aliases_that_multiply_end_early(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    path = tmp_path / "inference.yaml"
    path.write_text("\n".join(lines))
    with pytest.raises(InvalidArgument, match="aliases multiply to over 100000 values"):
        read_mapping(path, what="the bundle's")
    path.write_text("a: &a [1, *a]")
    with pytest.raises(InvalidArgument, match="an alias contains itself"):
        read_mapping(path, what="the bundle's")
    path.write_text("a: &a [1, 2]\nb: *a\nc: {<<: {d: 1}}")
    assert read_mapping(path, what="the bundle's") == {"a": [1, 2], "b": [1, 2], "c": {"d": 1}}
