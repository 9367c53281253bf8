"""Connect calls to a server: by webhook or API in Patchbay, by URL alone in other servers.

Rooms and calls have new names in every run, so that runs on one server do not share rooms.
"""

from __future__ import annotations

import http.client
import itertools
import json
import os
import secrets
import socket
from base64 import b64encode
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode, urlsplit

from bench.job import Job
from bench.load.dialects import Agent, Participant, Phone
from service.simulator.providers import markup
from service.simulator.providers.markup import Stream

HOST = "127.0.0.1"
TIMEOUT = 30


@dataclass(frozen=True, slots=True)
class Ticket:
    """A call that may be connected at this path; ``seat`` is its index in the room."""

    path: str
    participant: Participant
    seat: int


class PatchbayClient:
    """Client of Patchbay's webhooks and API, as providers and agents use them."""

    def __init__(self, port: int, token: str) -> None:
        self._connection = http.client.HTTPConnection(HOST, port, timeout=TIMEOUT)
        self._token = token

    def post(self, path: str, body: dict[str, Any]) -> Any:
        headers = {"Authorization": self._token, "Content-Type": "application/json"}
        return json.loads(self._ask("POST", path, json.dumps(body), headers))["data"]

    def webhook(self, provider: str, room: str) -> str:
        """Create a connector and return the path of its webhook."""
        fields = {"provider": provider, "defaultRoomId": room}
        url: str = self.post("/v2/connectors", fields)["webhookUrl"]
        return urlsplit(url).path

    def stream(self, webhook: str, phone: Phone) -> Stream:
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        answer = self._ask("POST", webhook, urlencode(phone.dialect.webhook()), headers)
        for verb in markup.parse(answer, phone.dialect.readers):
            if isinstance(verb, Stream):
                return verb
        raise ConnectionError(f"The server did not take the call: {answer[:200]!r}")

    def agent_path(self, room: str) -> str:
        """Create a session on the custom WebSocket and return the path of its socket."""
        url: str = self.post("/v2/ingest/sessions", {"roomId": room})["wsUrl"]
        parts = urlsplit(url)
        return f"{parts.path}?{parts.query}"

    def _ask(self, method: str, path: str, body: str, headers: dict[str, str]) -> bytes:
        try:
            self._connection.request(method, path, body, headers)
            answer = self._connection.getresponse()
            content = answer.read()
        except (http.client.HTTPException, OSError) as error:
            # A half-finished request would block the next one.
            self._connection.close()
            raise ConnectionError("The server did not answer.") from error
        if answer.status >= 300:
            raise ConnectionError(f"The server answered {answer.status}: {content[:200]!r}")
        return content


def rooms(job: Job) -> Iterator[list[Ticket]]:
    """Yield the tickets of each room."""
    ask = _from(PatchbayClient(job.port, job.token)) if job.token else _by_url
    run = f"{os.getpid()}-{secrets.token_hex(4)}"
    for number in range(job.calls // job.room_size):
        dialects = itertools.islice(itertools.cycle(job.dialects), job.room_size)
        yield ask(f"bench-{run}-{number}", list(dialects))


def connect(port: int, ticket: Ticket) -> tuple[socket.socket, bytes]:
    """Open the call's socket; return it with the bytes received after the handshake."""
    sock = socket.create_connection((HOST, port), TIMEOUT)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    key = b64encode(secrets.token_bytes(16)).decode()
    request = (
        f"GET {ticket.path} HTTP/1.1\r\nHost: {HOST}:{port}\r\n"
        "Connection: Upgrade\r\nUpgrade: websocket\r\n"
        f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n"
    )
    sock.sendall(request.encode())
    answer = b""
    while b"\r\n\r\n" not in answer:
        data = sock.recv(4096)
        if not data:
            raise ConnectionError("The server closed a socket before its handshake.")
        answer += data
    head, _, early = answer.partition(b"\r\n\r\n")
    if b" 101 " not in head.partition(b"\r\n")[0]:
        raise ConnectionError(f"The server refused a socket: {head[:200]!r}")
    return sock, early


def _by_url(room: str, dialects: list[str]) -> list[Ticket]:
    return [
        Ticket(f"/twilio/{room}/{seat}", Phone(dialect), seat)
        for seat, dialect in enumerate(dialects)
    ]


def _from(client: PatchbayClient) -> Callable[[str, list[str]], list[Ticket]]:
    def ask(room: str, dialects: list[str]) -> list[Ticket]:
        webhooks: dict[str, str] = {}
        tickets = []
        for seat, dialect in enumerate(dialects):
            if dialect == "websocket":
                tickets.append(Ticket(client.agent_path(room), Agent(), seat))
                continue
            if dialect not in webhooks:
                webhooks[dialect] = client.webhook(dialect, room)
            phone = Phone(dialect)
            phone.stream = client.stream(webhooks[dialect], phone)
            tickets.append(Ticket(urlsplit(phone.stream.url).path, phone, seat))
        return tickets

    return ask
