"""The live socket on a real server: access, and the events of a call."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from service.media.engine.live_feed import MOST
from service.simulator.audio import sound
from tests.support.patchbays import Patchbay, running_patchbay
from tests.support.servers import PATIENCE
from tests.support.upgrades import upgrade

LIVE = "/console/api/live"
TONE_LEVEL = -12
OWN_ORIGIN = "the server's own origin"


@pytest.fixture(scope="module")
def cookie(patchbay: Patchbay) -> str:
    return cookie_of(patchbay)


def cookie_of(patchbay: Patchbay) -> str:
    request = Request(
        f"{patchbay.url}/console/api/session",
        method="POST",
        data=json.dumps({"token": patchbay.token}).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urlopen(request, timeout=PATIENCE) as answer:
        return str(answer.headers["Set-Cookie"]).partition(";")[0]


def watch(patchbay: Patchbay, cookie: str) -> ClientConnection:
    return connect(
        patchbay.url.replace("http", "ws") + LIVE,
        origin=patchbay.url,
        additional_headers={"Cookie": cookie},
        open_timeout=PATIENCE,
    )


def until(page: ClientConnection, holds: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """Return the first message that fulfils the condition."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        news: dict[str, Any] = json.loads(page.recv(timeout=PATIENCE))
        if holds(news):
            return news
    raise AssertionError("no such message came")


def test_a_call_s_start_levels_and_end_are_visible(patchbay: Patchbay, cookie: str) -> None:
    with watch(patchbay, cookie) as page:
        until(page, lambda news: news["event"] == "changed")
        assert until(page, lambda news: news["event"] == "levels")["calls"] == {}
        with patchbay.calling("watched", sample=sound.tone(700, 1.0)):
            until(page, lambda news: news["event"] == "changed")
            news = until(page, lambda news: news.get("calls") and speaks(news))
            [(call_id, (_, hears, lost, jitter, waiting))] = news["calls"].items()
            assert (hears, lost) == (None, 0)
            assert jitter >= 0
            assert waiting >= 0
            assert patchbay.calls()[0]["callId"] == call_id
            patchbay.eventually(lambda: len(loudness(patchbay, call_id)) == 1)
            patchbay.eventually(
                lambda: TONE_LEVEL in map(rounded, loudness(patchbay, call_id)[0]["said"])
            )
        until(page, lambda news: news["event"] == "changed")
        until(page, lambda news: news.get("calls") == {})
    patchbay.eventually(lambda: patchbay.call(call_id)["status"] == "ended")
    [record] = loudness(patchbay, call_id)
    assert record["step"] == 1000
    assert TONE_LEVEL in map(rounded, record["said"])
    assert set(record["heard"]) == {None}


def speaks(news: dict[str, Any]) -> bool:
    return all(rounded(gauge[0]) == TONE_LEVEL for gauge in news["calls"].values())


def rounded(level: float | None) -> float | None:
    return None if level is None else round(level)


def loudness(patchbay: Patchbay, call_id: str) -> list[dict[str, Any]]:
    status, answer = patchbay.ask("GET", f"/console/api/calls/{call_id}/loudness")
    assert status == 200
    records: list[dict[str, Any]] = answer["data"]
    return records


@pytest.mark.parametrize(
    ("origin", "sends_cookie", "status"),
    [
        ("https://evil.example", True, 403),
        (None, True, 403),
        (OWN_ORIGIN, False, 401),
        (OWN_ORIGIN, True, 101),
    ],
    ids=["another-page", "no-page", "signed-out", "own-page"],
)
def test_access_is_checked_before_the_upgrade(
    patchbay: Patchbay, cookie: str, origin: str | None, sends_cookie: bool, status: int
) -> None:
    found, _, connection = upgrade(
        patchbay.url + LIVE,
        Origin=patchbay.url if origin is OWN_ORIGIN else origin,
        Cookie=cookie if sends_cookie else None,
    )
    connection.close()
    assert found == status


def test_pages_occupy_no_thread_and_are_limited(patchbay: Patchbay, cookie: str) -> None:
    with ExitStack() as pages:
        for _ in range(MOST):
            status, _, page = upgrade(patchbay.url + LIVE, Origin=patchbay.url, Cookie=cookie)
            pages.enter_context(page)
            assert status == 101
            assert page.recv(4096)
        assert patchbay.server.get("/readyz") == 200
        with watch(patchbay, cookie) as late, pytest.raises(ConnectionClosed) as closed:
            until(late, lambda news: False)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1013


def test_pages_are_notified_of_the_end_of_the_process(tmp_path: Path) -> None:
    with running_patchbay(tmp_path) as patchbay, watch(patchbay, cookie_of(patchbay)) as page:
        until(page, lambda news: news["event"] == "levels")
        patchbay.server.stop()
        with pytest.raises(ConnectionClosed) as closed:
            until(page, lambda news: False)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1012
