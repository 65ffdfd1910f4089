"""``exporter``: from a checkpoint to a model that Triton serves."""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
import yaml
from rich.console import Console
from rich.table import Table

from sixpoint.errors import InvalidArgument, SixpointError
from sixpoint.spec import ModelSpec

if TYPE_CHECKING:
    from exporter.validate import ModelReport

# PyTorch takes seconds to import: the commands import what they need, so that --help answers at once.

__all__ = ["app", "main"]

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
_out = Console(soft_wrap=True, highlight=False)
_err = Console(soft_wrap=True, highlight=False, stderr=True)

# The \b keeps the lines as they are.
_EXPORT_EXAMPLES = """\b
Examples:
  exporter export runs/annotation/checkpoint.pt
  exporter export best.pt --spec spec.yaml --name liver --repository /srv/models --max-batch-size 4"""
_VALIDATE_EXAMPLES = """\b
Examples:
  exporter validate
  exporter validate /srv/models --json"""


@app.callback()
def _program() -> None:
    """Turn trained checkpoints into models that Triton serves, and check model repositories."""


@app.command(epilog=_EXPORT_EXAMPLES)
def export(
    checkpoint: Annotated[Path, typer.Argument(help="Weights from torch.save: a state dict, or one in 'state_dict'.")],
    spec: Annotated[
        Path | None,
        typer.Option(help="The model's description, YAML or JSON.", show_default="spec.yaml beside the checkpoint"),
    ] = None,
    name: Annotated[
        str, typer.Option(help="The model's name in Triton.", show_default="that of the checkpoint's folder")
    ] = "",
    repository: Annotated[Path, typer.Option(help="Triton's model repository.")] = Path("model_repository"),
    max_batch_size: Annotated[int, typer.Option(min=1, help="Requests that Triton may run together.")] = 8,
    tolerance: Annotated[
        float,
        typer.Option(
            min=0, help="Largest difference to PyTorch to accept, in a probability of 0 to 1.", show_default="2/255"
        ),
    ] = 2 / 255,
) -> None:
    """Export a checkpoint to ONNX, compare it with PyTorch, and add it to a model repository as the next version."""
    with _clear_errors():
        description = _read_spec(spec or checkpoint.with_name("spec.yaml"))
        name = name or checkpoint.resolve().parent.name
        from exporter.checkpoint import load_weights, read_checkpoint, sha256
        from exporter.model_config import ModelConfig
        from exporter.network import ProbabilityNetwork, build_network
        from exporter.onnx_export import export_onnx
        from exporter.parity import check_parity
        from exporter.repository import check_name, publish

        check_name(name)
        state = read_checkpoint(checkpoint)
        network = build_network(description)
        load_weights(network, state)
        wrapped = ProbabilityNetwork(network, description).eval()
        tools = {tool: importlib.metadata.version(tool) for tool in ("torch", "monai", "onnx")}
        origin = {"checkpoint_sha256": sha256(checkpoint), **tools}
        with tempfile.TemporaryDirectory(prefix="sixpoint-export-") as folder:
            path = Path(folder, "model.onnx")
            export_onnx(wrapped, description, path, metadata=origin)
            difference = check_parity(wrapped, description, path, tolerance=tolerance)
            described = description.model_copy(update={"provenance": {**description.provenance, **origin}})
            config = ModelConfig.of(described, name=name, max_batch_size=max_batch_size)
            version = publish(path, config, repository=repository)
            size = path.stat().st_size / 2**20
        _out.print(f"{name} version {version.name}: {version / 'model.onnx'} ({size:.1f} MiB)")
        _out.print(f"largest difference to PyTorch: {difference:.5f} of a probability ({tolerance:.5f} allowed)")


@app.command(epilog=_VALIDATE_EXAMPLES)
def validate(
    repository: Annotated[Path, typer.Argument(help="Triton's model repository.")] = Path("model_repository"),
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Check every model of a repository: config, spec, graph, and one inference. Exits with 1 if something is wrong."""
    with _clear_errors():
        from exporter.validate import validate as check

        reports = check(repository)
    problems = [f"{report.name}: {problem}" for report in reports for problem in report.problems]
    if as_json:
        content = {"valid": not problems, "models": [report.to_dict() for report in reports]}
        _out.print_json(json.dumps(content))
    else:
        _out.print(_table(reports) if reports else f"no models in {repository}")
        for problem in problems:
            _err.print(f"error: {problem}", markup=False)
    if problems:
        raise typer.Exit(1)


def main() -> None:
    """Run the command line."""
    app()


def _read_spec(path: Path) -> ModelSpec:
    try:
        data = yaml.safe_load(path.read_text())
    except OSError as error:
        raise InvalidArgument(f"the spec {path} cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise InvalidArgument(f"the spec {path} is neither YAML nor JSON: {reason}") from error
    return ModelSpec.from_mapping(data)


def _table(reports: list[ModelReport]) -> Table:
    table = Table("model", "versions", "input", "output", "")
    for report in reports:
        table.add_row(
            report.name,
            ", ".join(map(str, report.versions)),
            "\n".join(report.inputs),
            "\n".join(report.outputs),
            "[red]not valid[/red]" if report.problems else "[green]valid[/green]",
        )
    return table


@contextlib.contextmanager
def _clear_errors() -> Iterator[None]:
    """One line that says what is wrong, instead of a traceback."""
    try:
        yield
    except SixpointError as error:
        message = error.message
    except OSError as error:  # a disk that is full, a folder that may not be written to
        message = str(error)
    else:
        return
    _err.print(f"error: {message}", markup=False)
    raise typer.Exit(1)


if __name__ == "__main__":
    main()
