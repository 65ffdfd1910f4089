"""Colleagues and strangers: what they see of each other's sessions, images and masks, through a real Triton."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import Connection

from gateway.core.access import Role
from gateway.storage import Database
from gateway.storage.audit_log import AuditFault, entries_of, verify
from gateway.storage.scopes import AllTenants
from gateway.triton.local.server import LocalTriton
from sixpoint import errors
from sixpoint.client import Client
from tests.gateway.prompts import SIX
from tests.gateway.server.identity.callers import Site
from tests.support.images import noisy_volume
from tests.support.servers import running_gateway

VOLUME = noisy_volume()
pytestmark = pytest.mark.filterwarnings("ignore::sixpoint.ImplausibleImageWarning")


@pytest.fixture
def site(tmp_path: Path) -> Site:
    made = Site(tmp_path)
    for name, tenant, role in (
        ("ada", "north", Role.ANNOTATOR),
        ("ben", "north", Role.ANNOTATOR),
        ("vera", "north", Role.VIEWER),
        ("root", "north", Role.ADMIN),
        ("eve", "south", Role.ADMIN),
    ):
        made.token(name, tenant=tenant, role=role)
    return made


@pytest.fixture
def connect(site: Site, triton: LocalTriton, tmp_path: Path) -> Iterator[Callable[[str], Client]]:
    """Connect somebody to a gateway."""
    settings: dict[str, Any] = {"tokens_file": site.tokens, "state_folder": tmp_path / "state"}
    clients: list[Client] = []

    def made(name: str) -> Client:
        clients.append(Client(f"127.0.0.1:{gateway.port}", token=site.by_name[name]))
        return clients[-1]

    with running_gateway(triton_url=triton.address, auth="tokens", **settings) as gateway:
        yield made
        for client in clients:
            client.close()


def _verify(conn: Connection, *, tenant: str) -> AuditFault | None:
    return verify(AllTenants(conn), tenant)


async def test_colleagues_read_strangers_see_nothing_and_only_the_owner_changes(
    connect: Callable[[str], Client], tmp_path: Path
) -> None:
    ada, ben, vera, root, eve = map(connect, ("ada", "ben", "vera", "root", "eve"))
    session = ada.open_session(VOLUME, model="ellipsoid", keep=True)
    mask = session.annotate(SIX)
    for colleague in (ben, vera):
        theirs = colleague.resume(session.id, VOLUME)
        assert np.array_equal(theirs.mask().array, mask.array)
        assert colleague.sessions() == []
        changes: tuple[Callable[[], object], ...] = (partial(theirs.annotate, SIX), theirs.undo, theirs.close)
        for change in changes:
            with pytest.raises(errors.PermissionDenied):
                change()
    forked = ben.resume(session.id, VOLUME).fork()
    assert np.array_equal(forked.annotate(SIX).array, mask.array)
    assert root.resume(session.id, VOLUME).annotate(SIX)
    assert session.refresh().revision == 2

    for name in (session.id, forked.id):
        with pytest.raises(errors.SessionNotFound):
            eve.resume(name)
    assert eve.sessions() == []
    with eve.open_session(VOLUME, model="ellipsoid") as own:
        assert np.array_equal(own.annotate(SIX).array, mask.array)

    with pytest.raises(errors.PermissionDenied, match="needs the role annotator, and you have the role viewer"):
        vera.open_session(VOLUME, model="ellipsoid")
    # Whoever may only look does not close what is somebody else's by leaving it.
    with ben.resume(session.id, VOLUME) as looked_at:
        assert looked_at.mask() is not None
    assert [each.id for each in ada.sessions()] == [session.id]
    session.close()
    with pytest.raises(errors.SessionNotFound):
        ben.resume(session.id)

    database = Database(f"sqlite:///{tmp_path}/state/sixpoint.db")
    north = await database.read(lambda conn: list(entries_of(AllTenants(conn), "north")))
    faults: list[AuditFault | None] = [
        await database.read(partial(_verify, tenant=tenant)) for tenant in ("north", "south")
    ]
    await database.stop()
    assert faults == [None, None]
    done = [(each["subject"], each["action"]) for each in north if each["outcome"] == "OK"]
    assert {("ada", "upload image"), ("ada", "annotate"), ("ben", "fork session"), ("root", "annotate")} <= set(done)
    assert "eve" not in {each["subject"] for each in north}
