"""``sixpoint login`` and ``logout`` at a real OpenID Connect provider."""

from __future__ import annotations

import contextlib
import json
import re
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest

from sixpoint.client.tokens import Login, LoginFile
from tests.sixpoint.cli.command_line import Run, plain
from tests.sixpoint.client.fake_gateway import serving
from tests.sixpoint.client.tokens.guarded_gateway import GuardedGateway
from tests.support.oidc import OidcProvider, running_oidc_provider

_SECONDS = 60


@pytest.fixture(autouse=True)
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of settings without logins."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return tmp_path / "config"


@pytest.fixture
def guarded() -> Iterator[GuardedGateway]:
    """A gateway that records the tokens of its calls."""
    gateway = GuardedGateway()  # type: ignore[abstract]
    with serving(gateway):
        yield gateway


def start(*arguments: str) -> subprocess.Popen[str]:
    """Start ``sixpoint`` as a program."""
    command = [sys.executable, "-m", "sixpoint", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.fixture
def run_alone() -> Run:
    """Run ``sixpoint`` as a program; exit code, stdout, stderr."""

    def runner(*arguments: object) -> tuple[int, str, str]:
        program = start(*map(str, arguments))
        out, err = program.communicate(timeout=_SECONDS)
        return program.returncode, out, err

    return runner


def page_of(errors: IO[str] | None) -> tuple[str, str]:
    """Return the page and the code that ``sixpoint login`` prints, once it does."""
    assert errors is not None
    text = ""
    for line in errors:
        text += line
        if page := re.search(r"^  (http\S+)$", text, re.MULTILINE):
            code = re.search(r"code (\S+):", text)
            assert code is not None
            return page[1], code[1]
    raise AssertionError(text)


def options(provider: OidcProvider) -> tuple[str, ...]:
    return "--issuer", provider.issuer, "--client-id", provider.client_id, "--resource", provider.resource


def stored(address: str) -> Login:
    login = LoginFile(address).load()
    assert login is not None
    return login


def log_in(provider: OidcProvider, *arguments: str) -> str:
    """Run ``sixpoint login`` while a person approves it, and return what it prints."""
    login = start("login", *arguments)
    page, code = page_of(login.stderr)
    assert page == f"{provider.issuer}/device?user_code={code}"
    provider.approve(page)
    out, err = login.communicate(timeout=_SECONDS)
    assert (login.returncode, err.strip()) == (0, "")
    return out


def test_a_person_logs_in_works_and_logs_out(
    guarded: GuardedGateway, config: Path, oidc_provider: OidcProvider, run_alone: Run
) -> None:
    out = log_in(oidc_provider, "--server", guarded.address, *options(oidc_provider))
    assert re.fullmatch(
        rf"logged in to {guarded.address}; the token is valid until \d{{4}}-\d\d-\d\d \d\d:\d\d UTC; it is renewed by "
        r"itself\n",
        out,
    )
    login = stored(guarded.address)
    assert stat.S_IMODE(LoginFile(guarded.address).path.stat().st_mode) == 0o600
    assert run_alone("models", "-s", guarded.address)[0] == 0
    assert guarded.tokens == {login.access_token}
    assert run_alone("logout", "-s", guarded.address) == (0, f"logged out of {guarded.address}\n", "")
    assert list(config.rglob("*.json")) == []
    # A copy that somebody made is worth nothing, either.
    LoginFile(guarded.address).save(login)
    guarded.accepts = lambda name, token: False
    code, _, err = run_alone("models", "-s", guarded.address)
    assert (code, "does not renew the login: invalid_grant; log in again" in err) == (10, True)
    assert run_alone("logout", "-s", "gpu9") == (0, "there is no login to gpu9:50051\n", "")


def test_the_next_login_needs_no_options_and_has_json(guarded: GuardedGateway, oidc_provider: OidcProvider) -> None:
    log_in(oidc_provider, "--server", guarded.address, *options(oidc_provider))
    first = stored(guarded.address)
    answer = json.loads(log_in(oidc_provider, "--server", guarded.address, "--json"))
    second = stored(guarded.address)
    assert answer.pop("expires").startswith("20")
    assert answer == {"server": guarded.address, "issuer": oidc_provider.issuer, "renewable": True}
    assert second.access_token != first.access_token
    assert (second.client_id, second.resource) == (first.client_id, first.resource)


def test_ctrl_c_ends_it_and_stores_nothing(guarded: GuardedGateway, config: Path, oidc_provider: OidcProvider) -> None:
    login = start("login", "--server", guarded.address, *options(oidc_provider))
    page_of(login.stderr)
    # Again, as a person would: Python drops an interrupt that meets a destructor.
    for _ in range(10):
        login.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            login.wait(_SECONDS / 10)
            break
    out, err = login.communicate(timeout=_SECONDS)
    assert (login.returncode, out) == (130, "")
    assert "Traceback" not in err
    assert list(config.rglob("*.json")) == []


def test_a_person_who_refuses_ends_it(guarded: GuardedGateway, oidc_provider: OidcProvider) -> None:
    login = start("login", "--server", guarded.address, *options(oidc_provider), "--json")
    oidc_provider.deny(page_of(login.stderr)[0])
    out, err = login.communicate(timeout=_SECONDS)
    assert login.returncode == 10
    assert json.loads(out)["error"]["reason"] == "UNAUTHENTICATED"
    assert err.lstrip() == "error: the login was refused at the issuer's page\n"


@pytest.mark.parametrize("missing", ["--issuer", "--client-id"])
def test_what_is_missing_is_named(missing: str, run: Run) -> None:
    given = ["--client-id", "x"] if missing == "--issuer" else ["--issuer", "https://sso.example"]
    code, _, err = run("login", *given)
    assert code == 2
    assert f"{missing} (SIXPOINT_OIDC_" in plain(err)


def test_no_login_is_begun_for_a_gateway_whose_tokens_others_could_read(run: Run, config: Path) -> None:
    code, out, err = run("login", "-s", "gpu1", "--issuer", "https://sso.invalid", "--client-id", "x")
    assert (code, out) == (3, "")
    assert err.startswith("error: a token would travel to gpu1:50051 unencrypted")
    assert not config.exists()


def test_a_token_in_the_environment_is_said_to_count_more(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIXPOINT_TOKEN", "sxp_s3cr3t")
    code, _, err = run("login", "--issuer", "http://127.0.0.1:1", "--client-id", "x")
    assert code == 7
    assert err.startswith("note: SIXPOINT_TOKEN is set, and counts more than the login\n")
    assert "s3cr3t" not in err


def test_a_login_to_an_issuer_that_is_away_is_forgotten_nevertheless(run_alone: Run) -> None:
    with running_oidc_provider() as provider:
        log_in(provider, *options(provider))
    code, out, err = run_alone("logout", "--json")
    assert (code, err) == (0, "")
    assert json.loads(out) == {"server": "127.0.0.1:50051", "removed": True, "revoked": False}
    assert run_alone("logout") == (0, "there is no login to 127.0.0.1:50051\n", "")


def test_a_login_is_not_written_through_a_link_nor_for_others(
    oidc_provider: OidcProvider, config: Path, tmp_path: Path
) -> None:
    folder = config / "sixpoint" / "logins"
    folder.mkdir(parents=True)
    folder.chmod(0o777)
    LoginFile("127.0.0.1:50051").path.symlink_to(tmp_path / "elsewhere")
    log_in(oidc_provider, *options(oidc_provider))
    assert not (tmp_path / "elsewhere").exists()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert [stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()] == [0o600, 0o600]
