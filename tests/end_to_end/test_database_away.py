"""An outage of the database for ten seconds affects only new callers, and loses nothing."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import sqlalchemy as sa

from service.simulator.audio import sound
from service.simulator.audio.codec import RATE
from service.simulator.phone import Phone
from service.simulator.report import Ending
from service.simulator.scenario import Scenario
from tests.support.patchbays import Patchbay, running_patchbay
from tests.support.proxies import proxied
from tests.support.receivers import Receiver, receiving
from tests.support.servers import PATIENCE
from tests.support.spectrum import level

PROVIDERS = ("twilio", "plivo", "telnyx")
AWAY_SECONDS = 10
FRAMES = 50
"""Frames in a second."""
CALLERS = 32
"""Twice the number of the server's threads."""


@dataclass(frozen=True, slots=True)
class Place:
    """A running server, and a context manager that makes its database unavailable."""

    patchbay: Patchbay
    away: Callable[[], AbstractContextManager[None]]


@pytest.fixture
def place(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Place]:
    if kind == "sqlite":
        with running_patchbay(tmp_path, WEBHOOK_ALLOW_PRIVATE="on") as patchbay:
            yield Place(patchbay, lambda: locked(tmp_path / "patchbay.db"))
        return
    url = sa.make_url(request.getfixturevalue("postgres")())
    with proxied(url.host or "127.0.0.1", url.port or 5432) as proxy:

        @contextmanager
        def cut() -> Iterator[None]:
            proxy.cut()
            yield
            proxy.mend()

        @contextmanager
        def silent() -> Iterator[None]:
            """Acknowledge everything and answer nothing, as after the loss of a route."""
            proxy.stall()
            yield
            proxy.resume()

        through = url.set(host="127.0.0.1", port=proxy.port)
        settings = {"DATABASE_URL": through.render_as_string(hide_password=False)}
        with running_patchbay(tmp_path, WEBHOOK_ALLOW_PRIVATE="on", **settings) as patchbay:
            yield Place(patchbay, cut if kind == "postgres" else silent)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Lock the database with an unfinished write of another connection."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("ROLLBACK")


def talk(patchbay: Patchbay, room: str) -> list[Phone]:
    """Two calls in a room that hear each other."""
    phones = [
        Phone(
            Scenario(
                webhook_url=patchbay.webhook(provider, room),
                sample=sound.tone(tone, 1.0),
                loop=True,
            )
        ).start()
        for provider, tone in (("twilio", 500.0), ("telnyx", 900.0))
    ]
    for phone in phones:
        phone.wait_for("first-audio")
    return phones


def told(receiver: Receiver, event: str) -> list[str]:
    """Return the calls for which the receiver got this event."""
    documents = [json.loads(body) for body in receiver.bodies]
    return [each["data"]["callId"] for each in documents if each["webhookType"] == event]


def is_ready(patchbay: Patchbay) -> bool:
    return patchbay.ask("GET", "/readyz")[0] == 200


@pytest.mark.parametrize("kind", ["sqlite", "postgres", "silent postgres"])
def test_a_database_outage_of_ten_seconds_affects_only_new_calls(place: Place) -> None:
    patchbay = place.patchbay
    hooks = [patchbay.webhook(provider, "late") for provider in PROVIDERS]
    with receiving() as receiver:
        wanted = {"url": receiver.url, "events": ["call-hangup"]}
        assert patchbay.ask("POST", "/v2/sip/webhooks", wanted)[0] == 201
        staying, leaving = talk(patchbay, "staying"), talk(patchbay, "leaving")
        straying = Phone(
            Scenario(webhook_url=patchbay.webhook("plivo", "straying"), loop=True)
        ).start()
        straying.wait_for("first-audio")
        patchbay.eventually(lambda: len(patchbay.calls(status="answered")) == 5)
        left = {call["callId"] for call in patchbay.calls(roomId="leaving")}

        with place.away():
            silence = sound.tone(0.0, 0.02)
            heard = [phone.report.frames_heard for phone in staying]
            late = [
                Phone(Scenario(webhook_url=hooks[number % 3], sample=silence)).start()
                for number in range(CALLERS)
            ]
            for phone in leaving:
                phone.hang_up()
            # A call that loses its socket during the outage is told to hold.
            straying.drop()
            assert patchbay.ask("GET", "/healthz")[0] == 200
            status, answer = patchbay.ask("GET", "/readyz")
            assert (status, answer["message"]) == (503, "Not ready: database.")
            for phone in [*leaving, *late]:
                phone.join(PATIENCE)
            # A phone gives up on a webhook after 15 s, as Twilio does, and has failed then.
            assert {phone.report.ended for phone in late} == {Ending.BUSY}
            # The outage lasts until both heard this: a call that waits for its end blocks it.
            for phone, before in zip(staying, heard, strict=True):
                patchbay.eventually(
                    lambda phone=phone, before=before: (
                        phone.report.frames_heard - before >= AWAY_SECONDS * FRAMES
                    )
                )

        patchbay.eventually(lambda: is_ready(patchbay))
        straying.wait_for("start", count=2)
        patchbay.eventually(lambda: len(patchbay.calls(status="answered")) == 3)
        calls = {call["callId"]: call for call in patchbay.calls()}
        assert {calls[each]["endReason"] for each in left} == {"caller-hung-up"}
        assert {calls[each]["timelog"][-1]["event"] for each in left} == {"end"}
        patchbay.eventually(lambda: set(told(receiver, "call-hangup")) >= left)

        new = Phone(Scenario(webhook_url=hooks[0], loop=True)).start()
        new.wait_for("first-audio")
        for phone, tone in zip(staying, (900.0, 500.0), strict=True):
            patchbay.eventually(
                lambda phone=phone, tone=tone: level(phone.heard[-RATE * 3 // 10 :], tone) > -30
            )
        for phone in [new, straying, *staying]:
            phone.hang_up()
            phone.join(PATIENCE)

    for phone in staying:
        report = phone.report
        assert (report.ended, report.redirects) == (Ending.CALLER_HUNG_UP, 0)
