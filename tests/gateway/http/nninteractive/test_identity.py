"""Who may use a lease: its owner, with the key of nnInteractive's client, or with a token in the address."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from nnInteractive.inference.remote.remote_session import SessionExpiredError

from gateway.authentication.token_editing import NewEntry, add_entry, new_token, token_digest
from gateway.authentication.token_file import EntryKind
from gateway.core.access import Role
from gateway.triton.local.server import LocalTriton
from tests.gateway.http.nninteractive.clients import RemoteSession, backwards, door, half_open, initialise
from tests.gateway.http.nninteractive.test_client import IMAGE, LOWER, MIDDLE, UPPER
from tests.support.servers import running_gateway

PEOPLE = {
    "alice": ("clinic-a", Role.ANNOTATOR, EntryKind.HEADER),
    "bob": ("clinic-b", Role.ANNOTATOR, EntryKind.HEADER),
    "carol": ("clinic-a", Role.VIEWER, EntryKind.HEADER),
    "dave": ("clinic-a", Role.ANNOTATOR, EntryKind.PATH),
}


def claim_status(url: str, key: str | None) -> int:
    with pytest.raises(httpx.HTTPStatusError) as failure:
        RemoteSession(url, api_key=key)
    return failure.value.response.status_code


def test_a_lease_is_its_owners(triton: LocalTriton, tmp_path: Path) -> None:
    keys = {name: new_token() for name in PEOPLE}
    for name, (tenant, role, kind) in PEOPLE.items():
        entry = NewEntry(name, kind, name, tenant, role, None)
        add_entry(tmp_path / "tokens.toml", entry, key=token_digest(keys[name]))
    options: dict[str, Any] = {"auth": "tokens", "tokens_file": tmp_path / "tokens.toml", "path_tokens": True}
    with running_gateway(triton_url=triton.address, http_port=0, **options) as gateway:
        url = door(gateway)
        assert [claim_status(url, key) for key in (None, "x", keys["carol"])] == [401, 401, 403]
        with RemoteSession(url, api_key=keys["alice"]) as alice, RemoteSession(url, api_key=keys["bob"]) as bob:
            mask, other = initialise(alice, IMAGE), initialise(bob, IMAGE)
            alice.add_bbox_interaction(half_open(LOWER, UPPER), True)
            bob.add_bbox_interaction(half_open(LOWER, UPPER), True)
            assert np.array_equal(mask, other)
            mine, theirs = alice._lease_token, bob._lease_token
            bob._http.headers["X-Lease-Token"] = mine
            for call in (bob.undo, bob.heartbeat, lambda: bob.add_point_interaction(backwards(MIDDLE), True)):
                with pytest.raises(SessionExpiredError):
                    call()
            bob._http.post("/release")
            bob._http.headers["X-Lease-Token"] = theirs
            assert alice.undo()
            assert bob.undo()
            assert RemoteSession(url.replace("/nninteractive", f"/t/{keys['dave']}/nninteractive")).ping()
        # Only who may see the models learns that there is none of a name.
        for address, code in (
            (url, 200),
            (door(gateway, "nothing"), 200),
            (door(gateway, "nothing").replace("/nninteractive", f"/t/{keys['dave']}/nninteractive"), 404),
        ):
            assert httpx.get(f"{address}/healthz", trust_env=False).status_code == code
