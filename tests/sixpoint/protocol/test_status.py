from __future__ import annotations

import base64
from typing import Any
from urllib.parse import quote

import grpc
import pytest
from google.protobuf.any_pb2 import Any as Packed
from google.rpc import error_details_pb2, status_pb2

from sixpoint import errors
from sixpoint.errors import SixpointError, Violation
from sixpoint.protocol import (
    DETAILS_KEY,
    STATUS_CODES,
    error_from_rpc,
    error_from_status,
    error_to_status,
    is_from_gateway,
    status_code,
)

TREE = list(SixpointError.tree())
VIOLATIONS = (Violation("points[3]", "outside the image"), Violation("frame", "must be one of 'voxel', 'lps', 'ras'"))

of_every_class = pytest.mark.parametrize("kind", TREE, ids=lambda kind: kind.__name__)


class Failure(grpc.RpcError):
    """A failed call as gRPC hands it to a client."""

    def __init__(self, code: grpc.StatusCode, details: str | None = "", trailers: Any = ()) -> None:
        super().__init__()
        self._code, self._details, self._trailers = code, details, trailers

    def code(self) -> grpc.StatusCode:
        return self._code

    def details(self) -> str | None:
        return self._details

    def trailing_metadata(self) -> Any:
        return self._trailers


def failed(error: SixpointError) -> Failure:
    """What a client sees of an error that the gateway raised."""
    trailers = (("content-type", "application/grpc"), (DETAILS_KEY, error_to_status(error).SerializeToString()))
    return Failure(status_code(error), error.message, trailers)


def detailed(status: status_pb2.Status, code: grpc.StatusCode = grpc.StatusCode.NOT_FOUND) -> Failure:
    return Failure(code, "said", ((DETAILS_KEY, status.SerializeToString()),))


def with_info(reason: str, domain: str) -> Failure:
    status = status_pb2.Status()
    status.details.add().Pack(error_details_pb2.ErrorInfo(reason=reason, domain=domain))
    return detailed(status)


# There and back


@of_every_class
def test_every_class_comes_back_as_itself(kind: type[SixpointError]) -> None:
    back = error_from_rpc(failed(kind("what was wrong: µm, 5 < 6")))
    assert type(back) is kind
    assert (back.message, str(back)) == ("what was wrong: µm, 5 < 6",) * 2
    assert (back.violations, back.retry_after) == ((), None)


@of_every_class
def test_violations_come_back_in_their_order(kind: type[SixpointError]) -> None:
    assert error_from_rpc(failed(kind("no", violations=VIOLATIONS))).violations == VIOLATIONS


@of_every_class
def test_the_time_to_retry_after_comes_back_to_the_microsecond(kind: type[SixpointError]) -> None:
    back = error_from_rpc(failed(kind("later", retry_after=2.000125)))
    assert type(back) is kind
    assert back.retry_after == 2.000125


def test_a_retry_at_once_is_not_taken_for_none() -> None:
    assert error_from_rpc(failed(errors.Unavailable("now", retry_after=0.0))).retry_after == 0.0


def test_violations_and_a_time_to_retry_after_travel_together() -> None:
    back = error_from_rpc(failed(errors.ResourceExhausted("full", violations=VIOLATIONS, retry_after=5)))
    assert (back.violations, back.retry_after) == (VIOLATIONS, 5.0)


def test_a_status_says_code_message_and_reason() -> None:
    status = error_to_status(errors.SessionExpired("gone"))
    info = error_details_pb2.ErrorInfo()
    assert (status.code, status.message, len(status.details)) == (5, "gone", 1)
    assert status.details[0].Unpack(info)
    assert (info.reason, info.domain) == ("SESSION_EXPIRED", "sixpoint")


def test_no_two_classes_share_a_reason() -> None:
    assert len({kind.reason for kind in TREE}) == len(TREE)


# Codes


@of_every_class
def test_a_class_has_the_code_of_its_branch(kind: type[SixpointError]) -> None:
    branch = next(parent for parent in kind.__mro__ if parent in STATUS_CODES)
    assert status_code(kind("")) is STATUS_CODES[branch]
    assert branch is SixpointError or branch.__base__ is SixpointError


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (errors.ChecksumMismatch, grpc.StatusCode.INVALID_ARGUMENT),
        (errors.PromptError, grpc.StatusCode.INVALID_ARGUMENT),
        (errors.SessionExpired, grpc.StatusCode.NOT_FOUND),
        (errors.PromptNotSupported, grpc.StatusCode.FAILED_PRECONDITION),
        (errors.TritonUnavailable, grpc.StatusCode.UNAVAILABLE),
        (errors.InferenceError, grpc.StatusCode.INTERNAL),
        (SixpointError, grpc.StatusCode.UNKNOWN),
    ],
)
def test_subclasses_have_the_codes_of_the_contract(kind: type[SixpointError], code: grpc.StatusCode) -> None:
    assert status_code(kind("")) is code


# Failures that are not ours


@pytest.mark.parametrize("code", list(grpc.StatusCode), ids=lambda code: code.name)
def test_a_foreign_failure_becomes_the_class_of_its_code(code: grpc.StatusCode) -> None:
    back = error_from_rpc(Failure(code, "a proxy said no"))
    assert type(back) is {own: kind for kind, own in STATUS_CODES.items()}.get(code, SixpointError)
    assert back.message == "a proxy said no"


@pytest.mark.parametrize("details", ["", None])
def test_a_failure_without_words_is_named_by_its_code(details: str | None) -> None:
    assert error_from_rpc(Failure(grpc.StatusCode.UNAVAILABLE, details)).message == "UNAVAILABLE"


def test_a_bare_rpc_error_is_an_error_of_no_kind() -> None:
    back = error_from_rpc(grpc.RpcError("torn"))
    assert type(back) is SixpointError
    assert back.message == "torn"


def test_missing_trailers_are_no_trailers() -> None:
    assert type(error_from_rpc(Failure(grpc.StatusCode.NOT_FOUND, "no", None))) is errors.NotFound


@pytest.mark.parametrize(("reason", "domain"), [("SESSION_EXPIRED", "googleapis.com"), ("SOMETHING_NEW", "sixpoint")])
def test_a_foreign_or_unknown_reason_leaves_the_code_to_decide(reason: str, domain: str) -> None:
    assert type(error_from_rpc(with_info(reason, domain))) is errors.NotFound


def test_only_our_domain_is_ours() -> None:
    assert is_from_gateway(with_info("SESSION_EXPIRED", "sixpoint"))
    assert not is_from_gateway(with_info("SESSION_EXPIRED", "googleapis.com"))
    assert not is_from_gateway(Failure(grpc.StatusCode.UNAVAILABLE, "connection refused"))
    assert not is_from_gateway(grpc.RpcError())


# Damaged trailers


@pytest.mark.parametrize("length", [1, 2, 7, 30, -1])
def test_trailers_cut_short_leave_code_and_message(length: int) -> None:
    whole = error_to_status(errors.PromptError("no", violations=VIOLATIONS)).SerializeToString()
    failure = Failure(grpc.StatusCode.INVALID_ARGUMENT, "no", ((DETAILS_KEY, whole[:length]),))
    back = error_from_rpc(failure)
    assert isinstance(back, errors.InvalidArgument)
    assert back.message == "no"


def test_trailers_that_are_no_status_leave_code_and_message() -> None:
    failure = Failure(grpc.StatusCode.NOT_FOUND, "no", ((DETAILS_KEY, b"\xff" * 40),))
    assert type(error_from_rpc(failure)) is errors.NotFound
    assert not is_from_gateway(failure)


@pytest.mark.parametrize("name", ["ErrorInfo", "BadRequest", "RetryInfo"])
def test_a_detail_that_does_not_parse_leaves_code_and_message(name: str) -> None:
    broken = Packed(type_url=f"type.googleapis.com/google.rpc.{name}", value=b"\x0a\xff")
    back = error_from_rpc(detailed(status_pb2.Status(details=[broken])))
    assert type(back) is errors.NotFound
    assert (back.message, back.violations, back.retry_after) == ("said", (), None)


def test_details_of_unknown_kinds_are_passed_over() -> None:
    status = status_pb2.Status()
    status.details.add().Pack(error_details_pb2.DebugInfo(detail="trace"))
    status.details.extend(error_to_status(errors.ImageNotFound("")).details)
    assert type(error_from_rpc(detailed(status))) is errors.ImageNotFound


def test_a_status_under_another_key_is_not_looked_at() -> None:
    status = error_to_status(errors.ImageNotFound("")).SerializeToString()
    assert type(error_from_rpc(Failure(grpc.StatusCode.NOT_FOUND, "", (("other-bin", status),)))) is errors.NotFound


@pytest.mark.parametrize("character", ["a", "%", "\n", "\N{LATIN SMALL LETTER E WITH ACUTE}", "\N{PILE OF POO}"])
def test_a_status_fits_into_trailers_however_long_the_error_is(character: str) -> None:
    text = "first" + 5000 * character + "last"
    error = errors.InvalidArgument(text, violations=(errors.Violation(text, text),) * 1000, retry_after=1.0)
    status = error_to_status(error)
    # What gRPC sends, which may be 8 KiB: percent-encoded text, and base64.
    assert len(quote(status.message)) + len(base64.b64encode(status.SerializeToString())) < 7500
    back = error_from_status(status.SerializeToString())
    assert isinstance(back, errors.InvalidArgument)
    assert back.message.startswith("first")
    assert back.message.endswith("last")
    assert back.violations[0].description.startswith("first")
    assert back.retry_after == 1.0


def test_a_message_of_two_thousand_characters_arrives_whole() -> None:
    message = "x" * 1000 + "y" * 1000
    assert error_to_status(errors.NotFound(message)).message == message
