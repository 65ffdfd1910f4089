"""The Python of README and docs passes strict type checks, and so does the public interface of the SDK."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.docs.blocks import pages, read_blocks
from tests.support.paths import ROOT

# Generated code, whose stubs name no types of gRPC's contexts; and the commands, which are no interface for Python.
UNTYPED = ("sixpoint.v1.", "sixpoint.cli.")

# Clients of others, in the blocks that use them.
OTHERS = ("nnInteractive.", "client_api")

pytestmark = pytest.mark.slow


def needs(module: str) -> pytest.MarkDecorator:
    missing = importlib.util.find_spec(module) is None
    return pytest.mark.skipif(missing, reason=f"{module} is not installed: pip install -e '.[dev]'")


def check(*command: str, folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *command],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)} | variables,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def samples(tmp_path: Path) -> Path:
    """A folder with one module for each page: its Python blocks for sixpoint, in a function, since they may await."""
    for page in pages():
        # Clients of others have types of their own, or none.
        ours = [
            block
            for block in read_blocks(page)
            if block.language == "python" and not any(client in block.text for client in OTHERS)
        ]
        blocks = [textwrap.indent(block.text, "    ") for block in ours]
        if blocks:
            name = page.relative_to(ROOT).with_suffix("").as_posix().translate(str.maketrans("/-", "__"))
            (tmp_path / f"{name}.py").write_text("async def page() -> None:\n" + "\n".join(blocks))
    return tmp_path


@pytest.fixture(scope="module")
def mypy_options(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    """Options of both runs of mypy, with one cache, so that the second does not read the whole library again."""
    return ("--strict", "--config-file=", "--follow-imports=silent", f"--cache-dir={tmp_path_factory.mktemp('mypy')}")


@needs("mypy")
def test_the_samples_pass_mypy(samples: Path, mypy_options: tuple[str, ...]) -> None:
    done = check("mypy", *mypy_options, ".", folder=samples, MYPYPATH=str(ROOT))
    assert done.returncode == 0, done.stdout + done.stderr


@needs("basedpyright")
def test_the_samples_pass_pyright(samples: Path) -> None:
    # On the page, a variable stands at the top level, where it is not local.
    settings = {"typeCheckingMode": "strict", "extraPaths": [str(ROOT)], "reportUnusedVariable": False}
    (samples / "pyrightconfig.json").write_text(json.dumps(settings))
    done = check("basedpyright", "--pythonpath", sys.executable, folder=samples)
    assert done.returncode == 0, done.stdout + done.stderr


@needs("basedpyright")
def test_the_public_interface_is_typed_in_whole(tmp_path: Path) -> None:
    options = ("--verifytypes", "sixpoint", "--ignoreexternal", "--outputjson", "--pythonpath", sys.executable)
    done = check("basedpyright", *options, folder=tmp_path)
    symbols = json.loads(done.stdout)["typeCompleteness"]["symbols"]
    assert len(symbols) > 1000
    wanting = {symbol["name"] for symbol in symbols if symbol["isTypeAmbiguous"] or not symbol["isTypeKnown"]}
    assert not sorted(name for name in wanting if not name.startswith(UNTYPED))


@needs("mypy")
def test_a_misspelt_frame_is_found_by_a_type_checker(tmp_path: Path, mypy_options: tuple[str, ...]) -> None:
    (tmp_path / "sample.py").write_text(
        "import sixpoint\n"
        'sixpoint.Click((1, 2, 3), frame="lps")\n'
        'sixpoint.Click((1, 2, 3), frame="scanner")\n'
        "sixpoint.open_sesion\n"
    )
    done = check("mypy", *mypy_options, "sample.py", folder=tmp_path, MYPYPATH=str(ROOT))
    lines = [line.split(":")[1] for line in done.stdout.splitlines() if ": error:" in line]
    assert lines == ["3", "4"], done.stdout
