"""Generate the reference pages while MkDocs builds the site.

A page asks for generated text with a comment: ``<!-- generate: settings -->``. The comment names a function of
:data:`GENERATORS`. The hooks also publish Markdown files that live outside of docs/ (:data:`OUTSIDE`) and turn links to
them into links to their pages, so that the same link works on the site and in a checkout.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import typer
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parent.parent
OUTSIDE = {
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "vulnerabilities.md",
    "benchmarks/README.md": "reference/benchmarks.md",
    "helm/sixpoint/README.md": "reference/chart.md",
    "model_repository/annotation/README.md": "reference/models/annotation.md",
    "model_repository/segmentation_hippocampus/README.md": "reference/models/segmentation_hippocampus.md",
}
"""Markdown files outside of docs/, and where they appear on the site."""
MOVED = {"how-to/viewer.html": "viewers/index.html"}
"""Pages of earlier sites, and where their subject is now."""
_LINK = re.compile(r"\[(?P<text>[^\[\]]*)\]\((?!\w+:|#)(?P<target>[^)#\s]+)(?P<anchor>[^)\s]*)\)")
_GENERATE = re.compile(r"^<!-- generate: (\w+) -->$", re.MULTILINE)


def on_files(files: Files, /, *, config: MkDocsConfig) -> Files:
    """Add the Markdown files that live outside of docs/."""
    for source, target in OUTSIDE.items():
        # MkDocs itself would replace the page without a word.
        if target in files.src_uris:
            raise PluginError(f"{source} would replace docs/{target}: give it another name in OUTSIDE, docs/hooks.py")
        files.append(File.generated(config, target, content=(ROOT / source).read_text()))
    return files


def on_page_markdown(markdown: str, /, *, page: Page, **_: object) -> str:
    """Insert what the page asks for, and point its links at pages of the site."""
    markdown = _GENERATE.sub(lambda match: GENERATORS[match[1]](), markdown)
    # Two bracketed lists in a row, as shapes in model cards, are no link.
    markdown = markdown.replace("] [", r"] \[")
    return rewrite_links(markdown, page.file.src_uri)


def on_page_content(html: str, /, **_: object) -> str:
    """Drop the reStructuredText of docstrings, which Markdown leaves in the text."""
    html = re.sub(r":(?:class|meth|func|data|mod|attr):(?=<code>)", "", html)
    return html.replace("::</p>", ":</p>")


def on_post_build(*, config: MkDocsConfig) -> None:
    """Leave a page that leads on where earlier sites had one."""
    for source, target in MOVED.items():
        head = f'<!doctype html><title>Moved</title><meta http-equiv="refresh" content="0; url={target}">'
        (Path(config.site_dir) / source).write_text(f'{head}<a href="{target}">Moved</a>')


def rewrite_links(markdown: str, uri: str) -> str:
    """Turn links between files of the repository into links between pages of the site.

    A link to a file that is no page, such as source code, becomes its text.

    Args:
        markdown: Text of one page.
        uri: Path of the page on the site.
    """
    source = next((name for name, target in OUTSIDE.items() if target == uri), f"docs/{uri}")

    def rewrite(match: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(posixpath.dirname(source), match["target"]))
        page = OUTSIDE.get(target, target.removeprefix("docs/") if target.startswith("docs/") else "")
        if page:
            return f"[{match['text']}]({posixpath.relpath(page, posixpath.dirname(uri) or '.')}{match['anchor']})"
        return match["text"] if (ROOT / target).exists() else match[0]

    return _LINK.sub(rewrite, markdown)


def settings() -> str:
    """Describe every setting of the gateway: variable, default, meaning."""
    from gateway.settings import Settings
    from gateway.settings.secrets import secret_fields

    defaults = Settings.model_validate({"state_folder": "/STATE_FOLDER"})
    rows = ["| variable | default | meaning |", "|---|---|---|"]
    secrets = secret_fields(Settings)
    for name, field in Settings.model_fields.items():
        value = "state" if name == "state_folder" else getattr(defaults, name)
        variable = f"SIXPOINT_{name.upper()}"
        if name in secrets:
            value, variable = value.get_secret_value(), f"{variable}`, `{variable}_FILE"
        text = "number of CPU cores" if name == "workers" else _setting(value)
        rows.append(f"| `{variable}` | {text} | {field.description} |")
    return "\n".join(rows)


def _setting(value: object) -> str:
    """A default as a person writes it; large numbers of bytes also in GiB or MiB."""
    text = str(value).replace("/STATE_FOLDER", "STATE_FOLDER")
    if isinstance(value, bool):
        text = text.lower()
    elif isinstance(value, float):
        text = f"{value:g}"
    elif isinstance(value, int) and value >= 2**20:
        unit, size = ("GiB", 2**30) if value % 2**30 == 0 else ("MiB", 2**20)
        return f"`{value}` ({value // size} {unit})"
    return f"`{text}`"


def commands() -> str:
    """Describe every command line: its commands, arguments, options and examples."""
    from exporter.cli import app as exporter
    from gateway.cli import app as gateway
    from sixpoint.cli import app as sixpoint
    from trainer.cli import app as trainer

    apps = {"sixpoint": sixpoint, "gateway": gateway, "exporter": exporter, "trainer": trainer}
    return "\n\n".join(part for name, app in apps.items() for part in _command(name, typer.main.get_command(app), 2))


def _command(path: str, command: Any, level: int) -> Iterator[str]:
    yield f"{'#' * level} {path}"
    yield _plain(command.help)
    children = getattr(command, "commands", None)
    if children is None:
        context = command.context_class(command, info_name=path)
        rows = [row for parameter in command.params if (row := _parameter(parameter, context))]
        yield "\n".join(["| argument or option | default | meaning |", "|---|---|---|", *rows])
    if epilog := _plain(command.epilog):
        yield f"```console\n{epilog}\n```" if "Example" in epilog else epilog
    for name, child in (children or {}).items():
        yield from _command(f"{path} {name}", child, level + 1)


def _parameter(parameter: Any, context: Any) -> str:
    if parameter.name == "help" or getattr(parameter, "hidden", False):
        return ""
    names = ", ".join(f"`{name}`" for name in (*parameter.opts, *parameter.secondary_opts))
    if parameter.param_type_name == "argument":
        names = f"`{parameter.name.upper()}`"
    elif parameter.metavar:
        names += f" `{parameter.metavar}`"
    elif hasattr(parameter, "display_type") and not parameter.is_flag:
        names += f" `{parameter.display_type(context)}`"
    value = parameter.show_default if isinstance(parameter.show_default, str) else parameter.default
    default = "required" if parameter.required else "" if value in (None, "", False) else f"`{value}`"
    variable = f" Environment variable: `{parameter.envvar}`." if parameter.envvar else ""
    row = " | ".join(cell.replace("|", " or ") for cell in (names, default, f"{_plain(parameter.help)}{variable}"))
    return f"| {row} |".replace(f"{ROOT}/", "").replace(str(Path.home()), "~")


def _plain(text: str | None) -> str:
    """A help text without the control characters of click and the markup of rich."""
    return re.sub(r"\[/?(?:bold|red|green|dim)[^\]]*\]", "", (text or "").replace("\b", "").strip())


def protocol() -> str:
    """Describe the services, messages and enumerations of protos/, with their comments."""
    import tempfile

    from google.protobuf.descriptor_pb2 import FileDescriptorSet
    from grpc_tools import protoc

    folder = ROOT / "protos"
    names = [path.relative_to(folder).as_posix() for path in sorted(folder.glob("sixpoint/v1/*.proto"))]
    with tempfile.TemporaryDirectory() as temporary:
        output = Path(temporary) / "descriptors"
        include = Path(protoc.__file__).parent / "_proto"
        arguments = ["protoc", f"-I{folder}", f"-I{include}", "--include_source_info", f"--descriptor_set_out={output}"]
        if protoc.main([*arguments, *names]):
            raise RuntimeError("protoc cannot read protos/: run make lint")
        files = FileDescriptorSet.FromString(output.read_bytes()).file
    # Services by name, then what they share.
    return "\n\n".join(part for file in sorted(files, key=lambda file: file.name) for part in _proto_file(file))


def _proto_file(file: Any) -> Iterator[str]:
    comments = {tuple(place.path): place.leading_comments for place in file.source_code_info.location}

    def comment(*path: int) -> str:
        return " ".join(comments.get(path, "").split())

    yield f"## {file.name}"
    for i, service in enumerate(file.service):
        yield f"### {service.name}\n\n{comment(6, i)}"
        rows = ["| call | request | response | meaning |", "|---|---|---|---|"]
        for j, method in enumerate(service.method):
            request = _stream(method.input_type, streams=method.client_streaming)
            response = _stream(method.output_type, streams=method.server_streaming)
            rows.append(f"| `{method.name}` | {request} | {response} | {comment(6, i, 2, j)} |")
        yield "\n".join(rows)
    for i, enum in enumerate(file.enum_type):
        yield f"### {enum.name}\n\n{comment(5, i)}"
        values = [f"| `{value.name}` | {value.number} | {comment(5, i, 2, j)} |" for j, value in enumerate(enum.value)]
        yield "\n".join(["| value | number | meaning |", "|---|---|---|", *values])
    for i, message in enumerate(file.message_type):
        yield f"### {message.name}\n\n{comment(4, i)}"
        fields = [
            f"| `{field.name}` | {_type(field, message)} | {field.number} | {comment(4, i, 2, j)} |"
            for j, field in enumerate(message.field)
        ]
        if fields:
            yield "\n".join(["| field | type | number | meaning |", "|---|---|---|---|", *fields])


def _stream(name: str, *, streams: bool) -> str:
    return f"{'stream of ' if streams else ''}{_link(name)}"


def _link(name: str) -> str:
    short = name.rpartition(".")[2]
    return f"[{short}](#{short.lower()})" if name.startswith(".sixpoint.v1.") else f"`{name.removeprefix('.')}`"


def _type(field: Any, message: Any) -> str:
    entry = next((nested for nested in message.nested_type if field.type_name.endswith(f".{nested.name}")), None)
    if entry is not None and entry.options.map_entry:
        return f"map from {_type(entry.field[0], entry)} to {_type(entry.field[1], entry)}"
    name = _link(field.type_name) if field.type_name else f"`{field.Type.Name(field.type)[5:].lower()}`"
    if field.label == field.LABEL_REPEATED:
        return f"list of {name}"
    if field.HasField("oneof_index") and not field.proto3_optional:
        return f"{name}, one of `{message.oneof_decl[field.oneof_index].name}`"
    return f"{name}, optional" if field.proto3_optional else name


def rest() -> str:
    """Describe the operations of the REST API."""
    from gateway.http.rest import api_document

    parts = []
    for path, operations in api_document()["paths"].items():
        for method, operation in operations.items():
            parts.append(
                f"## {operation['summary']}\n\n`{method.upper()} /api/v1{path}`\n\n{operation.get('description', '')}"
            )
            rows = [_rest_parameter(each) for each in operation.get("parameters", ())]
            rows += [
                f"| body | {_rest_content(media_type, each)} | |"
                for media_type, each in operation.get("requestBody", {}).get("content", {}).items()
            ]
            rows += [
                f"| answer {status} | {_rest_content(media_type, each)} | |"
                for status, answer in operation["responses"].items()
                for media_type, each in (answer.get("content") or {"": {}}).items()
                if status != "default"
            ]
            parts.append("\n".join(["| part | type | meaning |", "|---|---|---|", *rows]))
    return "\n\n".join(parts)


def _rest_parameter(parameter: Any) -> str:
    schema = parameter["schema"]
    values = schema.get("enum")
    kind = ", ".join(f"`{value}`" for value in values) if values else schema.get("type", "string")
    return f"| {parameter['in']} `{parameter['name']}` | {kind} | {parameter.get('description', '')} |"


def _rest_content(media_type: str, content: Any) -> str:
    reference = content.get("schema", {}).get("$ref", "").rpartition("/")[2]
    return f"`{media_type}`{f': {reference}' if reference else ''}" if media_type else "nothing"


GENERATORS: dict[str, Callable[[], str]] = {
    "commands": commands,
    "protocol": protocol,
    "rest": rest,
    "settings": settings,
}
"""What a page can ask for by name."""
