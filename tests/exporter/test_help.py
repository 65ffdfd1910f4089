"""The help of exporter and trainer: every option says its default, every command has an example."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import typer

from exporter.cli import app as exporter
from trainer.cli import app as trainer

_APPS = {"exporter": exporter, "trainer": trainer}


def commands() -> Iterator[Any]:
    for name, app in _APPS.items():
        group: Any = typer.main.get_command(app)
        for command in group.commands.values():
            yield pytest.param(command, id=f"{name} {command.name}")


@pytest.mark.parametrize("command", list(commands()))
def test_every_command_has_an_example(command: Any) -> None:
    assert "Example" in command.epilog
    assert f" {command.name} " in f"{command.epilog} "


def exporter_options() -> Iterator[Any]:
    group: Any = typer.main.get_command(exporter)
    for command in group.commands.values():
        context = command.context_class(command, info_name=command.name)
        for option in command.params:
            if not getattr(option, "is_flag", False):
                yield pytest.param(option, context, id=f"{command.name} {option.name}")


@pytest.mark.parametrize(("option", "context"), list(exporter_options()))
def test_every_option_says_its_default(option: Any, context: Any) -> None:
    shown = option.get_help_record(context)
    assert shown is not None
    assert "default: " in shown[1] or "required" in shown[1]
