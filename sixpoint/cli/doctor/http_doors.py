"""What ``sixpoint doctor --http`` asks of each door: the first calls of the viewers that use it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from http import HTTPStatus

from sixpoint.cli.doctor.connection import Finding
from sixpoint.cli.doctor.http_exchange import Asker, NoReply, Reply
from sixpoint.cli.doctor.http_url import HttpUrl

__all__ = ["DOORS", "PACS", "check_dicomweb", "check_door", "explain_refusal"]

PACS = "proxy/dicom"
"""Path of the gateway's DICOMweb, which has no page."""

_MODEL = re.compile(r"^  (\S+) \S+: ", re.MULTILINE)
# What ITK-SNAP asks for (MINIMUM_SERVER_VERSION in its DeepLearningSegmentationModel.cxx).
_ITKSNAP_VERSION = (0, 1, 2)
_TRITON = "Look at Triton's log, and check the gateway's SIXPOINT_TRITON_URL."
_LOG = "Look at the gateway's log; the client and the gateway may be of different versions."


class _Strange(Exception):
    """An answer that the door's viewers would not understand."""


def _objects(value: object) -> list[Mapping[str, object]]:
    if not isinstance(value, list):
        raise _Strange("its answer has no list of models")
    return [each for each in value if isinstance(each, dict)]


def _monai_label(content: object) -> list[str]:
    models = content.get("models") if isinstance(content, dict) else None
    if not isinstance(models, dict):
        raise _Strange("its answer has no models")
    return list(models)


def _aiaa(content: object) -> list[str]:
    return [str(model.get("name")) for model in _objects(content)]


def _in_models(key: str) -> Callable[[object], list[str]]:
    def read(content: object) -> list[str]:
        models = content.get("models") if isinstance(content, dict) else None
        return [str(model.get(key)) for model in _objects(models)]

    return read


def _itksnap_status(content: object) -> None:
    version = content.get("version") if isinstance(content, dict) else None
    try:
        parts = tuple(int(part) for part in str(version).split("."))
    except ValueError:
        raise _Strange("its answer has no version that ITK-SNAP can read") from None
    if parts < _ITKSNAP_VERSION:
        raise _Strange(f"it speaks version {version} of the protocol, and ITK-SNAP needs 0.1.2 or later")


def _anything(content: object) -> None:
    if content is None:
        raise _Strange("its answer is no JSON")


DOORS: Mapping[str, Mapping[str, Callable[[object], list[str] | None]]] = {
    # First: it is served within the door of MONAI Label, too.
    PACS: {},
    "monailabel": {"/info/": _monai_label},
    "aiaa": {"/v1/models": _aiaa},
    "nninteractive": {"/{model}/healthz": _anything},
    "itksnap": {"/status": _itksnap_status, "/v2/models": _in_models("id")},
    "ohif": {},
    "api/v1": {"/models": _in_models("name")},
    "connect": {},
}
"""For each door, paths that its viewers ask first, and the function that reads the models in the answer."""


def check_door(asker: Asker, url: HttpUrl, name: str, page: Reply, *, typed: str | None = None) -> Iterator[Finding]:
    """Check one door.

    Args:
        asker: Asks the gateway.
        url: Address of the door.
        name: Name of the door.
        page: Its page.
        typed: What the person typed behind the door's name; None if the person did not ask for this door.
    """
    what = f"door {name}"
    if page.status != HTTPStatus.OK:
        yield explain_refusal(page, what, url, token=bool(asker.token))
        return
    if name == "ohif":
        yield from _check_ohif(asker, url, page, wanted=typed is not None)
        return
    listed = _MODEL.findall(page.text.partition("Models:")[2])
    models: list[str] | None = None
    for path, read in DOORS.get(name, {}).items():
        if "{model}" in path and not listed:
            continue
        try:
            reply = asker.get(url.at(url.path + path.format(model=listed[0] if listed else "")))
        except NoReply as error:
            yield Finding(what, False, f"{path}: {error.seen}", _LOG)
            return
        if reply.status != HTTPStatus.OK:
            yield explain_refusal(reply, what, url, token=bool(asker.token))
            return
        try:
            models = read(reply.json()) if models is None else (read(reply.json()) or models)
        except _Strange as error:
            yield Finding(what, False, f"{path}: {error}", _LOG)
            return
    names = listed if models is None else models
    if not names and DOORS.get(name):
        yield Finding(
            what,
            False,
            f"{url} answers, and has no model that you may use",
            "Export one into the model repository: `exporter export CHECKPOINT`. Some are shown to some tenants only.",
        )
        return
    if name == "nninteractive" and typed is not None and typed not in names:
        seen = f"this door has no model {typed}" if typed else "the name of a model is missing at its end"
        yield Finding("address", False, seen, f"Write {' or '.join(f'{url}/{each}' for each in names)}.")
        return
    yield Finding(what, True, f"{url} {'serves ' + ', '.join(names) if names else 'answers'}")


def _check_ohif(asker: Asker, url: HttpUrl, page: Reply, *, wanted: bool) -> Iterator[Finding]:
    if not page.headers.get("content-type", "").startswith("text/html"):
        seen = f"{url} answers, and has no OHIF to show"
        advice = "Whoever manages the gateway can give it one: docs/how-to/viewers/ohif.md."
        yield Finding("door ohif", not wanted, seen, advice if wanted else "")
        return
    yield Finding("door ohif", True, f"{url} shows OHIF")
    yield from check_dicomweb(asker, url.at(f"{url.path.removesuffix('/ohif')}/{PACS}"), door=url)


def check_dicomweb(asker: Asker, url: HttpUrl, *, door: HttpUrl) -> Iterator[Finding]:
    """Check the way to the DICOMweb server behind a gateway.

    Args:
        asker: Asks the gateway.
        url: Address of the gateway's DICOMweb.
        door: Address that the person typed.
    """
    try:
        reply = asker.get(url.at(f"{url.path}/studies?limit=1"))
    except NoReply as error:
        yield Finding("DICOMweb", False, error.seen, _LOG)
        return
    if reply.status in (HTTPStatus.OK, HTTPStatus.NO_CONTENT):
        yield Finding("DICOMweb", True, f"{url} passes searches on to a server")
        return
    if reply.status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN) or not reply.detail:
        yield explain_refusal(reply, "DICOMweb", door, token=bool(asker.token))
        return
    yield Finding("DICOMweb", False, reply.detail, "`gateway doctor`, where the gateway runs, asks the server itself.")


def explain_refusal(reply: Reply, what: str, url: HttpUrl, *, token: bool) -> Finding:
    """Explain why a gateway refused a call.

    Args:
        reply: Its answer.
        what: Name of the part that was checked.
        url: Address that was asked.
        token: Whether a token was sent in the header.
    """
    if reply.status == HTTPStatus.UNAUTHORIZED:
        if url.has_token:
            return Finding(
                "token",
                False,
                f"the gateway does not accept the token in the path ({reply.detail})",
                "It may be mistyped or revoked, or of the kind that goes into a header; or the gateway takes none in "
                "paths (SIXPOINT_PATH_TOKENS): ask for a token of kind path.",
            )
        if token:
            return Finding(
                "token",
                False,
                f"the gateway does not accept it ({reply.detail})",
                "It may be for another gateway, or revoked, or of the kind that goes into the path: get a new one.",
            )
        return Finding(
            "token",
            False,
            f"none is set, and the gateway asks for one ({reply.detail})",
            f"Viewers without a field for tokens take it in the address: {url.origin}/t/TOKEN{url.path}. Here, "
            "name a file that holds yours with SIXPOINT_TOKEN_FILE.",
        )
    if reply.status == HTTPStatus.FORBIDDEN and reply.detail:
        return Finding(what, False, reply.detail, "You are known, but this is not among what you may do.")
    if reply.detail:
        advice = _TRITON if reply.reason == "TRITON_UNAVAILABLE" else _LOG
        return Finding(what, False, f"it answers {reply.status}: {reply.detail}", advice)
    return Finding(what, False, reply.describe(), _LOG)
