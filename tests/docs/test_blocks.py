"""Every code block of README and docs runs, and prints what the page says; those that cannot run say why."""

from __future__ import annotations

import ast
import asyncio
import inspect
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.docs.blocks import Block, commands, pages, read_blocks, run_command
from tests.docs.conftest import Servers
from tests.docs.pictures import PICTURES, keep_pictures
from tests.support.paths import ROOT

# These pages add models and versions to the repository, which other pages do not show: they come last.
LAST = ("publish.md", "your-own-model.md")
PAGES = sorted(pages(), key=lambda page: LAST.index(page.name) if page.name in LAST else -1)
RUNNABLE = {"python", "console"}


def runnable_blocks(page: Path) -> list[Block]:
    return [block for block in read_blocks(page) if block.language in RUNNABLE and not block.not_run]


def run_python(block: Block, namespace: dict[str, Any], servers: Servers) -> None:
    """Run a Python block; ``await`` may stand at its top level."""
    # Line numbers of the page.
    source = "\n" * (block.line - 1) + servers.localised(block.text)
    code = compile(source, block.page, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    result = eval(code, namespace)
    if inspect.iscoroutine(result):
        asyncio.run(result)


@pytest.mark.triton
@pytest.mark.slow
@pytest.mark.timeout(3600 if PICTURES else 900)
@pytest.mark.parametrize(
    "page", [page for page in PAGES if runnable_blocks(page)], ids=lambda page: page.relative_to(ROOT).as_posix()
)
def test_the_blocks_of_a_page_run_in_order(page: Path, reader: Path, servers: Servers) -> None:
    namespace: dict[str, Any] = {"__name__": "__main__"}
    ids: dict[str, str] = {}
    for block in runnable_blocks(page):
        if block.language == "python":
            run_python(block, namespace, servers)
            continue
        for command in commands(block):
            wrong = run_command(servers.localised(command.text), command.output, ids)
            assert not wrong, f"{block.place}\n{wrong}"
    if page.parent.name == "tutorial":
        keep_pictures(page, reader)


def test_blocks_are_run_or_say_why_not(record_property: Callable[[str, object], None]) -> None:
    unknown = []
    for page in PAGES:
        for block in read_blocks(page):
            if block.not_run:
                record_property("not run", f"{block.place}: {block.not_run}")
                print(f"not run: {block.place}: {block.not_run}")  # noqa: T201
            elif block.language not in RUNNABLE | {"text", "yaml", "mermaid", "protobuf"}:
                unknown.append(block.place)
    assert not unknown, f"these blocks are neither run nor marked with <!-- not run: reason -->: {unknown}"


def test_no_two_pages_make_a_dataset_of_the_same_name() -> None:
    # All pages have one gateway, in any order: the second would be refused.
    made = [
        (name, page.name)
        for page in PAGES
        for block in runnable_blocks(page)
        for name in re.findall(r'sixpoint dataset create (\S+)|post\("datasets", json=\{"name": "([^"]+)"', block.text)
    ]
    names = [one or other for (one, other), _ in made]
    assert len(names) > 3
    assert len(set(names)) == len(names), made


def test_commands_that_are_not_run_exist_with_their_options() -> None:
    typer = pytest.importorskip("typer")
    pytest.importorskip("torch")
    from exporter.cli import app as exporter
    from gateway.cli import app as gateway
    from sixpoint.cli import app as sixpoint
    from trainer.cli import app as trainer

    apps = {"sixpoint": sixpoint, "gateway": gateway, "exporter": exporter, "trainer": trainer}
    parsed = 0
    for page in PAGES:
        for block in read_blocks(page):
            if block.language != "console" or not block.not_run:
                continue
            for command in commands(block):
                words = [word for word in shlex.split(command.text) if not word.startswith("SIXPOINT_")]
                if words[0] not in apps:
                    continue
                group = typer.main.get_command(apps[words[0]])
                assert words[1] in group.commands, f"{block.place}: no command {words[0]} {words[1]}"
                found = group.commands[words[1]]
                # Raises for an option that does not exist.
                found.make_parser(found.context_class(found, info_name=words[1])).parse_args(words[2:])
                parsed += 1
    assert parsed > 10
