"""Write what follows from other files: ``python -m helm.generate``, or ``make chart``.

The chart's values.yaml, values.schema.json and README follow from :mod:`helm.values`, its version from pyproject.toml,
the schema of ``gateway.settings`` from the gateway's settings, alerts and dashboard from the gateway's metrics.
"""

from __future__ import annotations

import json
import textwrap
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from alembic.script import ScriptDirectory
from pydantic import BaseModel

from gateway.observability.alerts import alert_rules
from gateway.observability.dashboard import dashboard
from gateway.settings import Settings
from helm.values import Values, ValuesModel
from helm.values.common import SecretKey

__all__ = ["CHART", "contents", "main"]

CHART = Path(__file__).parent / "sixpoint"
"""The chart."""
_WIDTH = 116
_MIGRATIONS = CHART.parent.parent / "gateway" / "storage" / "migrations"
_README = Path(__file__).parent / "README.head.md"


def contents() -> dict[Path, str]:
    """The generated files of the chart, and their text."""
    return {
        CHART / "Chart.yaml": _chart(),
        CHART / "values.yaml": "# Generated from helm/values by `make chart`.\n" + "\n".join(_values(Values())) + "\n",
        CHART / "values.schema.json": json.dumps(_schema(), indent=1) + "\n",
        CHART / "README.md": _README.read_text() + "\n" + "\n".join(_table()) + "\n",
        CHART / "files" / "alerts.yaml": json.dumps(alert_rules(), indent=2) + "\n",
        CHART / "files" / "dashboard.json": json.dumps(dashboard(), indent=2) + "\n",
    }


def main() -> None:
    """Write the generated files."""
    for path, text in contents().items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)


def _chart() -> str:
    project = tomllib.loads((CHART.parent.parent / "pyproject.toml").read_text())["project"]
    chart = {
        "apiVersion": "v2",
        "name": "sixpoint",
        "description": project["description"],
        "type": "application",
        "version": project["version"],
        "appVersion": project["version"],
        "kubeVersion": ">=1.28.0-0",
        "home": project["urls"]["Documentation"],
        "sources": [project["urls"]["Source"]],
        "keywords": ["medical-imaging", "segmentation", "triton", "grpc"],
        "maintainers": [{"name": "sixpoint"}],
        # `helm show chart` of two versions tells whether an update changes the tables.
        "annotations": {"sixpoint/database-revision": _database_revision(), "licenses": project["license"]},
    }
    return "# Generated from pyproject.toml by `make chart`.\n" + yaml.safe_dump(chart, sort_keys=False, width=200)


def _database_revision() -> str:
    return str(ScriptDirectory(str(_MIGRATIONS)).get_current_head())


def _values(model: BaseModel, indent: str = "") -> Iterator[str]:
    """Lines of values.yaml for a block: each key with its description above."""
    for name, field in type(model).model_fields.items():
        value, key = getattr(model, name), field.alias or name
        if not indent:
            yield ""
        yield from textwrap.wrap(field.description or "", _WIDTH - len(indent), **_comment(indent))
        if isinstance(value, ValuesModel):
            yield f"{indent}{key}:"
            yield from _values(value, indent + "  ")
        else:
            yield f"{indent}{key}: {json.dumps(value)}"


def _comment(indent: str) -> dict[str, Any]:
    prefix = f"{indent}# "
    return {"initial_indent": prefix, "subsequent_indent": prefix, "break_long_words": False}


def _schema() -> dict[str, Any]:
    schema = _without_titles(Values.model_json_schema())
    settings = _without_titles(Settings.model_json_schema())
    # Defaults are the gateway's own business; formats of Python are none of JSON.
    properties = {
        name: {key: part for key, part in setting.items() if key not in ("default", "format", "writeOnly")}
        for name, setting in settings["properties"].items()
    }
    schema["$defs"].update(settings.get("$defs", {}))
    schema["$defs"]["Gateway"]["properties"]["settings"] |= {
        "properties": dict(sorted(properties.items())),
        "additionalProperties": False,
    }
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Values of sixpoint's chart", **schema}


def _without_titles(part: Any) -> Any:
    if isinstance(part, list):
        return [_without_titles(entry) for entry in part]
    if not isinstance(part, dict):
        return part
    # A property may have the name title.
    return {key: _without_titles(entry) for key, entry in part.items() if key != "title" or not isinstance(entry, str)}


def _table() -> Iterator[str]:
    yield "| value | default | meaning |"
    yield "| --- | --- | --- |"
    for path, value, meaning in _leaves(Values()):
        default = "" if value in ("", None) else f"`{json.dumps(value)}`"
        yield " | ".join(("", f"`{path}`", default.replace("|", "\\|"), " ".join(meaning.split()), "")).strip()


def _leaves(model: BaseModel, prefix: str = "", of: str = "") -> Iterator[tuple[str, Any, str]]:
    """Path, default and meaning of every value; that of a Secret says what it holds."""
    for name, field in type(model).model_fields.items():
        value, path, meaning = getattr(model, name), f"{prefix}{field.alias or name}", field.description or ""
        if isinstance(value, ValuesModel):
            yield from _leaves(value, f"{path}.", meaning if isinstance(value, SecretKey) else "")
        else:
            yield path, value, f"{of} {meaning}"


if __name__ == "__main__":
    main()
