"""What happens to those who are connected while tokens expire, keys change, and certificates are renewed."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from sixpoint.errors import InvalidArgument
from sixpoint.protocol import error_from_rpc
from sixpoint.v1 import annotation_service_pb2 as annotation_pb
from sixpoint.v1 import annotation_service_pb2_grpc as annotation_grpc
from tests.gateway.server.identity.callers import Answer, Site, ask, metadata
from tests.support.oidc import running_oidc_provider

# How much of a token's time is over that is taken for so many seconds more, since clocks may differ by 30 s.
_ALMOST_OVER = -27.0


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def test_a_stream_ends_when_its_token_does(site: Site) -> None:
    over = threading.Event()

    def silent() -> Iterator[annotation_pb.InteractRequest]:
        over.wait(60)
        yield from ()

    with (
        running_oidc_provider() as provider,
        site.serving(auth="oidc", oidc_issuer=provider.issuer, oidc_audience=provider.audience) as gateway,
        site.channel(gateway) as channel,
    ):
        assert ask(channel, metadata(provider.mint())) == Answer("OK")
        token = provider.mint(lifetime_s=_ALMOST_OVER)
        stub: Any = annotation_grpc.AnnotationServiceStub(channel)
        with pytest.raises(grpc.RpcError) as caught:
            list(stub.Interact(silent(), metadata=[metadata(token)], timeout=60))
        over.set()
        error = error_from_rpc(caught.value)
        assert (error.reason, "expired during the stream" in error.message) == ("UNAUTHENTICATED", True)
        assert "sixpoint login" in ask(channel, metadata(token)).text


def test_an_issuer_that_is_away_and_changes_its_keys(site: Site) -> None:
    with (
        pytest.MonkeyPatch.context() as patch,
        running_oidc_provider() as provider,
        site.serving(auth="oidc", oidc_issuer=provider.issuer, oidc_audience=provider.audience) as gateway,
    ):
        tokens = [provider.mint(f"user {number}") for number in range(3)]
        assert site.ask(gateway, metadata(tokens[0])) == Answer("OK")
        provider.stop()
        patch.setattr("gateway.authentication.oidc.keys._COOLDOWN_SECONDS", 0.0)
        # Verified before, and not yet.
        for token in tokens:
            assert site.ask(gateway, metadata(token)) == Answer("OK")
        provider.rotate_keys()
        assert site.ask(gateway, metadata(provider.mint())) == Answer("OK")
        # By a key that the issuer has withdrawn.
        assert site.ask(gateway, metadata(tokens[0])).code == "UNAUTHENTICATED"


def test_a_gateway_starts_without_its_issuer_and_says_so_to_those_who_log_in(site: Site) -> None:
    settings = {"auth": "tokens,oidc", "oidc_issuer": "https://127.0.0.1:1", "oidc_audience": "sixpoint"}
    token = site.token("alice")
    with running_oidc_provider() as provider, site.serving(**settings) as gateway:
        answer = site.ask(gateway, metadata(provider.mint()))
        assert (answer.code, "logins cannot be checked" in answer.text) == ("UNAVAILABLE", True)
        assert site.ask(gateway, metadata(token)) == Answer("OK")


def test_no_call_fails_while_certificates_are_renewed(site: Site) -> None:
    token = metadata(site.token("alice"))
    answers = Counter[Answer]()
    over = threading.Event()

    with site.serving(auth="tokens") as gateway, site.channel(gateway) as connected:

        def call() -> None:
            while not over.is_set():
                answers[site.ask(gateway, token)] += 1
                answers[ask(connected, token)] += 1

        threads = [threading.Thread(target=call) for _ in range(3)]
        for thread in threads:
            thread.start()
        for _ in range(15):
            time.sleep(0.1)
            site.write_certificate()
        over.set()
        for thread in threads:
            thread.join()
    assert set(answers) == {Answer("OK")}
    assert answers.total() > 20


def test_a_gateway_that_anybody_could_use_does_not_start(site: Site) -> None:
    state = site.folder / "state"
    with (
        pytest.raises(InvalidArgument, match="SIXPOINT_AUTH=none believes everybody"),
        site.serving(host="0.0.0.0", state_folder=state),
    ):
        pass
    site.token("alice")
    with (
        pytest.raises(InvalidArgument, match="without TLS everybody"),
        site.serving(host="0.0.0.0", auth="tokens", tls_cert_file=None, tls_key_file=None, state_folder=state),
    ):
        pass
    site.tokens.write_text("[alice")
    with (
        pytest.raises(InvalidArgument, match="SIXPOINT_TOKENS_FILE: the last line is no TOML"),
        site.serving(auth="tokens", state_folder=state),
    ):
        pass
    # Not even a database is made, or migrated.
    assert not state.exists()
