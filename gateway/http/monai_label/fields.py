"""The short texts of a form, however a client packs it."""

from __future__ import annotations

from urllib.parse import parse_qsl

from gateway.http.calls import Call
from gateway.http.forms import MAX_FIELD_BYTES, read_content, read_form
from gateway.http.requests.spool import Spool
from sixpoint.errors import InvalidArgument

__all__ = ["read_fields"]

_URL_ENCODED = "application/x-www-form-urlencoded"
_MAX_FIELDS = 64


async def read_fields(call: Call, spool: Spool) -> dict[str, str]:
    """Read the fields of a form; a call without a body has none.

    Args:
        call: The call.
        spool: Files of running calls.

    Raises:
        InvalidArgument: The body is no form, or is damaged.
        HttpRefusal: It is too large, or does not come.
    """
    if not call.request.headers.get("content-type", "").startswith(_URL_ENCODED):
        folder = await call.stack.enter_async_context(spool.folder())
        return (await read_form(call, folder, max_bytes=MAX_FIELD_BYTES)).fields
    text = (await read_content(call, max_bytes=MAX_FIELD_BYTES)).decode("utf-8", "replace")
    try:
        pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=_MAX_FIELDS, errors="replace")
    except ValueError:
        raise InvalidArgument(f"the form has too many fields: expected at most {_MAX_FIELDS}") from None
    fields = dict(pairs)
    if len(fields) < len(pairs):
        raise InvalidArgument("a field of the form comes twice; send each once")
    return fields
