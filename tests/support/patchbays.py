"""A running Patchbay as users see it: a URL, a token and JSON."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from service.security import access_tokens
from service.simulator.audio import sound
from service.simulator.audio.codec import Samples
from service.simulator.phone import Phone
from service.simulator.scenario import CALLER, Scenario
from tests.support.migrated import migrated_file
from tests.support.servers import FORKED, PATIENCE, Server, serving

T = TypeVar("T")

ATTEMPTS = 4
"""Attempts that a busy machine may spoil."""


class Patchbay:
    """``url`` is the address of the server, unless another one leads to it."""

    def __init__(self, server: Server, secret: str = "secret" * 8, url: str | None = None) -> None:
        self.server = server
        self.url = url or server.url
        now = time.time_ns() // 1_000_000
        self.token = access_tokens.mint("key", secret, now)

    def ask(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        """Send one request and return its status and JSON."""
        request = Request(
            self.url + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": self.token, "Content-Type": "application/json"},
        )
        try:
            with urlopen(request, timeout=PATIENCE) as answer:
                return answer.status, json.load(answer)
        except HTTPError as error:
            with error:
                return error.code, json.load(error)

    def webhook(self, provider: str, room: str | None) -> str:
        """Create a connector and return its webhook URL."""
        status, answer = self.ask(
            "POST", "/v2/connectors", {"provider": provider, "defaultRoomId": room}
        )
        assert status == 201
        return str(answer["data"]["webhookUrl"])

    def invite(self, room: str, **fields: object) -> dict[str, Any]:
        """Create an ingest session and return its ``data``."""
        status, answer = self.ask("POST", "/v2/ingest/sessions", {"roomId": room, **fields})
        assert status == 201
        data: dict[str, Any] = answer["data"]
        return data

    @contextmanager
    def calling(
        self, room: str, *, caller: str = CALLER, sample: Samples | None = None, digits: str = ""
    ) -> Iterator[Phone]:
        """Simulate a call into a room whose caller repeats ``sample``."""
        plan = Scenario(
            webhook_url=self.webhook("twilio", room),
            caller=caller,
            sample=sound.melody() if sample is None else sample,
            loop=True,
            digits=digits,
        )
        phone = Phone(plan).start()
        try:
            yield phone
        finally:
            phone.hang_up()
            phone.join(PATIENCE)

    def calls(self, **filters: str) -> list[dict[str, Any]]:
        query = "&".join(f"{name}={value}" for name, value in filters.items())
        status, answer = self.ask("GET", f"/v2/sip/call?perPage=100&{query}")
        assert status == 200
        calls: list[dict[str, Any]] = answer["data"]
        return calls

    def call(self, call_id: str) -> dict[str, Any]:
        status, answer = self.ask("GET", f"/v2/sip/call/{call_id}")
        assert status == 200
        call: dict[str, Any] = answer["data"]
        return call

    def skipped(self) -> int:
        """Return how many ticks the media engine has skipped because it was late."""
        status, answer = self.ask("GET", "/console/api/health")
        assert status == 200
        skipped: int = answer["data"]["engine"]["skipped"]
        return skipped

    def undisturbed(self, attempt: Callable[[], T]) -> T:
        """Return the value of an attempt that needs every frame, in rooms of its own.

        On a busy machine the media engine is late and skips audio, as it should. An attempt that
        fails meanwhile says nothing and is repeated.
        """
        for _ in range(ATTEMPTS):
            before = self.skipped()
            try:
                return attempt()
            except AssertionError:
                if self.skipped() == before:
                    raise
        return attempt()

    def eventually(self, holds: Callable[[], bool]) -> None:
        """Wait until the condition holds: reports of a socket are written a moment later."""
        deadline = time.monotonic() + PATIENCE
        pause = threading.Event()
        while not holds():
            assert time.monotonic() < deadline, "the condition was never met"
            pause.wait(0.02)


@contextmanager
def running_patchbay(
    data: Path, *arguments: str, command: Sequence[str] = FORKED, **settings: str
) -> Iterator[Patchbay]:
    """Run a server on a new, migrated database, or on the one in ``data``."""
    file = data / "patchbay.db"
    if "DATABASE_URL" not in settings and not file.exists():
        data.mkdir(parents=True, exist_ok=True)
        file.write_bytes(migrated_file())
    with serving(data, *arguments, command=command, **settings) as server:
        yield Patchbay(server)
