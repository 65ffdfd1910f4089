import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from gateway.core.images import StoredImage
from gateway.core.sessions import SessionStore
from sixpoint.errors import ResourceExhausted, SessionExpired, SessionNotFound
from tests.harness import noisy_volume


class Clock:
    def __init__(self) -> None:
        self.time = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.time

    def advance(self, seconds: float) -> None:
        self.time += timedelta(seconds=seconds)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def image() -> StoredImage:
    volume = noisy_volume()
    return StoredImage(volume.digest, volume)


@pytest.fixture
def store(clock: Clock) -> SessionStore:
    return SessionStore(limit=3, idle=timedelta(seconds=60), now=clock)


def test_a_session_is_found_by_its_id_and_holds_its_image(store, image):
    session = store.create(image, "annotation")
    assert store.get(session.id) is session
    assert len(session.id) >= 22


def test_a_session_in_use_does_not_expire(store, image, clock):
    session = store.create(image, "annotation")
    for _ in range(5):
        clock.advance(50)
        assert store.get(session.id).expires == clock() + timedelta(seconds=60)


def test_an_idle_session_expires_and_says_so(store, image, clock):
    session = store.create(image, "annotation")
    clock.advance(61)
    with pytest.raises(SessionExpired):
        store.get(session.id)
    assert len(store) == 0


def test_a_session_being_answered_does_not_expire(store, image, clock):
    async def run() -> None:
        session = store.create(image, "annotation")
        async with session.lock:
            clock.advance(1000)
            store.expire()
            assert len(store) == 1
        clock.advance(61)
        store.expire()
        assert len(store) == 0

    asyncio.run(run())


def test_an_unknown_session_is_not_an_expired_one(store):
    with pytest.raises(SessionNotFound):
        store.get("made-up")


def test_a_closed_session_is_gone_and_closing_twice_is_no_error(store, image):
    session = store.create(image, "annotation")
    store.close(session.id)
    store.close(session.id)
    with pytest.raises(SessionNotFound):
        store.get(session.id)


def test_too_many_sessions_are_refused_with_a_time_to_retry_after(store, image, clock):
    for _ in range(3):
        store.create(image, "annotation")
        clock.advance(10)
    with pytest.raises(ResourceExhausted, match="3 sessions") as caught:
        store.create(image, "annotation")
    assert caught.value.retry_after == pytest.approx(30)
    clock.advance(31)
    assert store.create(image, "annotation")
