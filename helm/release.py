"""Render the chart for a scanner, or package and sign it: ``python -m helm.release --help``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import helm_python
import typer
import yaml

from helm.generate import CHART

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, add_completion=False)

Folder = Annotated[Path, typer.Argument(help="Folder to write to; created if necessary.")]


@app.command()
def render(folder: Folder) -> None:
    """Write the manifests of each file of values in ci/."""
    folder.mkdir(parents=True, exist_ok=True)
    chart = helm_python.Chart.load(CHART)
    for values in sorted((CHART / "ci").glob("*-values.yaml")):
        texts = chart.render(yaml.safe_load(values.read_text()), name="demo", namespace="imaging")
        manifests = [text for name, text in sorted(texts.items()) if not name.endswith(".txt") and text.strip()]
        (folder / values.name.replace("-values", "")).write_text("\n---\n".join(manifests))


@app.command()
def package(
    folder: Folder,
    key: Annotated[str, typer.Option(help="Name of the key to sign with, or a part of it.")] = "",
    keyring: Annotated[
        Path | None, typer.Option(help="File of secret keys: gpg --export-secret-keys > secret.gpg.")
    ] = None,
    passphrase_file: Annotated[Path | None, typer.Option(help="File with the passphrase of the key.")] = None,
) -> None:
    """Package the chart, and sign the package if a key is named."""
    if bool(key) != bool(keyring):
        raise typer.BadParameter("--key and --keyring need each other")
    folder.mkdir(parents=True, exist_ok=True)
    archive = helm_python.package(CHART, destination=folder)
    typer.echo(f"wrote {archive}")
    if keyring:
        typer.echo(f"wrote {helm_python.sign(archive, key=key, keyring=keyring, passphrase_file=passphrase_file)}")


if __name__ == "__main__":
    app()
