"""A small server for the phone simulator: webhooks over HTTP, media over WebSocket."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl

from websockets.exceptions import ConnectionClosed
from websockets.sync.server import Server as MediaServer
from websockets.sync.server import ServerConnection, serve

from tests.support.http_servers import in_thread

WAIT = 60.0

Talk = Callable[[ServerConnection], None]


class Leg:
    """One media socket: its received messages, and how it was closed."""

    def __init__(self) -> None:
        self.received: list[dict] = []
        self.close_code: int | None = None
        self.over = threading.Event()


class Counterpart:
    """``answers`` is the markup for the webhook requests, in order; the last one repeats.

    ``{media}`` in it becomes the media server's URL. ``talks`` are the functions that run on the
    media sockets, and repeat in the same way. ``requests`` has the received forms. ``connectors``
    is the status and body of the list of connectors.
    """

    def __init__(self, answers: Sequence[str]) -> None:
        self.answers: list[str | tuple[int, str, str]] = list(answers) or ["<Response/>"]
        self.talks: list[Talk] = [keep]
        self.requests: list[dict[str, str]] = []
        self.methods: list[str] = []
        self.legs: list[Leg] = []
        self._changed = threading.Condition()
        self.connectors: tuple[int, str] = (200, '{"data": []}')
        self.tokens: list[str] = []
        self.paths: list[str] = []
        self.key = "whk_" + "k" * 32
        self.port = 0
        self.media = ""

    def url(self, provider: str) -> str:
        return f"http://127.0.0.1:{self.port}/v2/hooks/{provider}/{self.key}"

    def answer(self) -> tuple[int, str, str]:
        turn = min(len(self.requests), len(self.answers)) - 1
        answer = self.answers[turn]
        status, kind, text = answer if isinstance(answer, tuple) else (200, "text/xml", answer)
        return status, kind, text.replace("{media}", self.media)

    def converse(self, connection: ServerConnection) -> None:
        leg = Leg()
        with self._changed:
            self.legs.append(leg)
            self._changed.notify_all()
        connection.received = leg.received
        try:
            self.talks[min(len(self.legs), len(self.talks)) - 1](connection)
        except ConnectionClosed:
            pass
        finally:
            leg.close_code = connection.close_code
            leg.over.set()

    def messages(self, turn: int = 0) -> list[dict]:
        """Return all messages of a media socket after its end."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.legs) > turn, WAIT), "No media socket."
        assert self.legs[turn].over.wait(WAIT), "The media socket is still open."
        return self.legs[turn].received

    def of(self, event: str, turn: int = 0) -> list[dict]:
        return [message for message in self.messages(turn) if message["event"] == event]


def incoming(connection: ServerConnection) -> Iterator[dict]:
    """Yield the messages of a media socket until the phone closes it, and record them."""
    for text in connection:
        message = json.loads(text)
        connection.received.append(message)
        yield message


def keep(connection: ServerConnection) -> None:
    """Receive messages and send nothing."""
    for _ in incoming(connection):
        pass


def echo(connection: ServerConnection) -> None:
    """Send the caller's audio back in the dialect of the start message."""
    shape = {}
    for message in incoming(connection):
        if message["event"] == "start":
            shape = message
        elif message["event"] == "media":
            connection.send(json.dumps(spoken(shape, message["media"]["payload"])))


def spoken(start: dict, payload: str) -> dict:
    """Return ``payload`` as an audio message of the provider that sent ``start``."""
    if "streamSid" in start:
        return {"event": "media", "streamSid": start["streamSid"], "media": {"payload": payload}}
    if "stream_id" in start:
        return {"event": "media", "media": {"payload": payload}}
    kind = start["start"]["mediaFormat"]
    media = {"contentType": kind["encoding"], "sampleRate": kind["sampleRate"], "payload": payload}
    return {"event": "playAudio", "media": media}


@contextmanager
def running(*answers: str, refuse: int | None = None, port: int = 0) -> Iterator[Counterpart]:
    """Run a counterpart on two free ports, or with its webhooks on ``port``.

    ``refuse`` is the status with which it refuses every media socket.
    """
    counterpart = Counterpart(answers)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.respond(self.rfile.read(int(self.headers["Content-Length"])).decode())

        def do_GET(self) -> None:
            if self.path == "/v2/connectors":
                counterpart.tokens.append(self.headers["Authorization"])
                status, text = counterpart.connectors
                self.write(status, "application/json", text)
            else:
                self.respond(self.path.partition("?")[2])

        def respond(self, form: str) -> None:
            counterpart.requests.append(dict(parse_qsl(form, keep_blank_values=True)))
            counterpart.methods.append(self.command)
            self.write(*counterpart.answer())

        def write(self, status: int, kind: str, text: str) -> None:
            body = text.encode()
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments: object) -> None:
            pass

    def check(connection: ServerConnection, request: object) -> object:
        counterpart.paths.append(request.path)
        return None if refuse is None else connection.respond(refuse, "refused\n")

    http = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    media: MediaServer = serve(counterpart.converse, "127.0.0.1", 0, process_request=check)
    counterpart.port = http.server_port
    counterpart.media = f"ws://127.0.0.1:{media.socket.getsockname()[1]}"
    thread = threading.Thread(target=media.serve_forever)
    thread.start()
    try:
        with in_thread(http):
            yield counterpart
    finally:
        media.shutdown()
        thread.join()


@contextmanager
def silent_port() -> Iterator[int]:
    """Yield a port that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]
