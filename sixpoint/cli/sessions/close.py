"""``sixpoint close``: close sessions that were kept open."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from sixpoint.cli.common import CLI_RETRY, JsonOption, ServerOption, app, print_json
from sixpoint.cli.options.session_ids import SessionCommand
from sixpoint.client import Client
from sixpoint.errors import NotFound
from sixpoint.protocol import DEFAULT_SERVER

__all__ = ["close"]

SessionIdsArgument = Annotated[
    list[str], typer.Argument(help="Ids of the sessions; `sixpoint sessions` lists them.", metavar="ID...")
]


@app.command(
    cls=SessionCommand,
    epilog="Example: sixpoint close fqgwjm62dynp8sbxe3vkrhta5c\n\n"
    "Example: sixpoint close fqgwjm62dynp8sbxe3vkrhta5c k7m2pq9rstu4vwxy3zab5cdefg",
)
def close(session_id: SessionIdsArgument, server: ServerOption = DEFAULT_SERVER, as_json: JsonOption = False) -> None:
    """Close sessions and delete their steps.

    An id that no open session has is an error, after the other sessions are closed.
    """
    closed: list[str] = []
    missing: dict[str, NotFound] = {}
    with Client(server, retry=CLI_RETRY) as client:
        for name in dict.fromkeys(session_id):
            try:
                # Closing alone is no error where there is nothing to close: a mistyped id would seem to be closed.
                client.resume(name).close()
            except NotFound as error:
                missing[name] = error
            else:
                closed.append(name)
    if missing:
        first = next(iter(missing.values()))
        if len(session_id) == 1:
            raise first
        text = "; ".join(f"{name}: {fault.message}" for name, fault in missing.items())
        raise type(first)(f"{text}; closed: {', '.join(closed) or 'none'}")
    if as_json:
        print_json({"closed": closed})
    else:
        Console(soft_wrap=True, highlight=False).print(*(f"closed {escape(name)}" for name in closed), sep="\n")
