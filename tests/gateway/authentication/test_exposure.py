"""Where a gateway may listen, and settings of identity that contradict each other."""

from __future__ import annotations

import pytest

from gateway.authentication import check_exposure
from gateway.core.access import Method, Role
from gateway.settings import Settings
from sixpoint.errors import InvalidArgument

LOCAL = ("127.0.0.1", "127.0.0.2", "::1", "localhost", "unix:/run/sixpoint.sock", "unix-abstract:sixpoint")
OTHERS = ("0.0.0.0", "::", "10.0.0.1", "gpu1", "::ffff:10.0.0.1", "")


def exposed(host: str, method: Method, *, tls: bool = False, insecure: bool = False) -> None:
    check_exposure(host=host, methods={method}, tls=tls, insecure=insecure)


def test_anything_may_listen_for_this_machine() -> None:
    for host in LOCAL:
        exposed(host, "none")
        exposed(host, "tokens")


def test_other_machines_need_authentication_and_tls_or_a_word_that_they_do_not() -> None:
    for host in OTHERS:
        for tls in (False, True):
            with pytest.raises(InvalidArgument, match=r"SIXPOINT_AUTH to tokens.* SIXPOINT_INSECURE=1 serves whoever"):
                exposed(host, "none", tls=tls)
        with pytest.raises(InvalidArgument, match=r"SIXPOINT_TLS_CERT_FILE.* ends TLS.* SIXPOINT_INSECURE=1"):
            exposed(host, "tokens")
        exposed(host, "tokens", tls=True)
        exposed(host, "none", insecure=True)
        exposed(host, "oidc", insecure=True)


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"auth": "token"}, "SIXPOINT_AUTH is one of none, tokens, oidc, mtls, proxy"),
        ({"auth": "path"}, "SIXPOINT_AUTH is one of"),
        ({"auth": ","}, "SIXPOINT_AUTH is one of"),
        ({"auth": "none,tokens"}, "SIXPOINT_AUTH=none believes everybody"),
        ({"auth": "oidc", "oidc_issuer": "https://x"}, "needs SIXPOINT_OIDC_ISSUER and SIXPOINT_OIDC_AUDIENCE"),
        ({"auth": "tokens,mtls"}, "need SIXPOINT_TLS_CLIENT_CA_FILE"),
        ({"auth": "proxy", "proxy_names": "x"}, "need SIXPOINT_TLS_CLIENT_CA_FILE"),
        ({"path_tokens": True}, "SIXPOINT_PATH_TOKENS needs SIXPOINT_AUTH=tokens"),
        ({"oidc_roles": "radiology"}, "SIXPOINT_OIDC_ROLES has pairs"),
        ({"oidc_roles": "radiology=boss"}, "SIXPOINT_OIDC_ROLES has pairs .* roles are viewer, annotator"),
        ({"oidc_roles": "=viewer"}, "SIXPOINT_OIDC_ROLES has pairs"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(settings: dict[str, object], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        Settings(**settings)  # type: ignore[arg-type]


def test_lists_among_the_settings_are_read() -> None:
    settings = Settings(
        auth="tokens, oidc",
        oidc_issuer="https://sso.example",
        oidc_audience="sixpoint",
        oidc_roles="radiology=annotator, cn=it=admin",
        proxy_names="a.example, b.example",
    )
    assert settings.auth_methods == {"tokens", "oidc"}
    assert settings.oidc_role_names == {"radiology": Role.ANNOTATOR, "cn=it": Role.ADMIN}
    assert settings.proxies == {"a.example", "b.example"}
