"""One media socket, from the provider's end.

Two threads: the one that calls ``run`` sends a frame every 20 ms on a grid that starts with the
call, and blocks only until the next frame is due or the socket takes it; the reader blocks only
on the socket. What the reader owes the server is queued, so that just one thread ever sends.
"""

from __future__ import annotations

import json
import socket
import threading
from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from functools import partial

from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, InvalidURI
from websockets.sync.client import ClientConnection, connect

from service.clock import Clock
from service.errors import RemoteError
from service.simulator.audio.codec import FRAME, RATE, Codec
from service.simulator.audio.faults import Faults
from service.simulator.audio.playback import Ear
from service.simulator.providers import base
from service.simulator.providers.markup import Stream
from service.simulator.providers.signing import Signer
from service.simulator.report import Tally
from service.simulator.speech import Mouth
from service.simulator.timeline import Timeline

GAP_SECONDS = 0.04
PING_EVERY, PING_FROM = 50, 10
"""In frames: a round trip a second, the first one soon enough for a short call."""

FRAME_SECONDS = FRAME / RATE


def dial(
    stream: Stream, attempts: int, signer: Signer | None
) -> AbstractContextManager[ClientConnection]:
    """Open the socket of ``stream``. Raises ``RemoteError`` with the last attempt's sentence."""
    why = ""
    for _ in range(attempts):
        try:
            return connect(
                stream.url,
                additional_headers=None if signer is None else signer.upgrade(stream.url),
                compression=None,
                # A proxy has no way to this machine's own loopback.
                proxy=None if stream.is_local else True,
                ping_interval=None,
                close_timeout=3,
            )
        except InvalidStatus as error:
            why = f"The media socket was refused with {error.response.status_code}."
        except (InvalidHandshake, InvalidURI):
            why = f"What listens at {stream.origin} does not speak WebSocket."
        except OSError as error:
            reason = error.strerror or "no answer in time"
            why = f"The media socket at {stream.origin} could not be opened ({reason})."
    raise RemoteError(why)


class MediaClock:
    """Positions on the call's timeline, in samples since its first ``start`` message."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._origin: float | None = None

    def start(self) -> int:
        """The frame that is due now. The first time, the timeline begins here."""
        if self._origin is None:
            self._origin = self._clock.monotonic()
            return 0
        return self.position() // FRAME

    def position(self) -> int:
        """Zero as long as the timeline has not begun."""
        if self._origin is None:
            return 0
        return int((self._clock.monotonic() - self._origin) * RATE)

    def until(self, frame: int) -> float:
        """Seconds until this frame is due; negative when it is overdue."""
        return frame * FRAME_SECONDS - self.position() / RATE


class Leg:
    """``run`` it once; ``hang_up`` and ``drop`` end it from any thread."""

    def __init__(
        self,
        connection: ClientConnection,
        dialect: base.Dialect,
        stream: Stream,
        inbound: Codec,
        *,
        mouth: Mouth,
        ear: Ear,
        faults: Faults[base.Message],
        clock: MediaClock,
        timeline: Timeline,
        tally: Tally,
    ) -> None:
        self._connection = connection
        self._dialect = dialect
        self._stream = stream
        self._inbound = inbound
        self._outbound = dialect.answer_codec(stream, inbound)
        self._mouth = mouth
        self._ear = ear
        self._faults = faults
        self._clock = clock
        self._timeline = timeline
        self._tally = tally
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._owed: deque[Callable[[], base.Message | None]] = deque()
        self._last_audio: int | None = None
        self._reader = threading.Thread(target=self._read, name="simulator-reader", daemon=True)

    def hang_up(self) -> None:
        self._stop.set()

    def drop(self) -> None:
        """Cut the line: no stop message, no closing handshake."""
        self._timeline.record("cut")
        with suppress(OSError):
            self._connection.socket.shutdown(socket.SHUT_RDWR)

    def run(self) -> bool:
        """Talk until one side is gone: true where the caller hung up, false where the server
        closed or the line was cut.
        """
        for message in self._dialect.open(self._stream, self._inbound):
            self._owed.append(partial(dict, message))
        self._reader.start()
        try:
            self._talk()
            # The reader ends first where the server has closed; else the caller is leaving.
            hung_up = self._connection.close_code is None and self._reader.is_alive()
            if hung_up:
                self._owed.append(self._dialect.stop)
                self._pay()
        except ConnectionClosed:
            hung_up = False
        self._connection.close()
        self._reader.join()
        with self._lock:
            self._ear.clear(self._clock.position())
        return hung_up

    def _talk(self) -> None:
        self._pay()
        first = number = self._clock.start()
        self._timeline.record("start")
        pong = None
        planned = self._mouth.frames_planned
        while True:
            wait = self._clock.until(number) + self._faults.delay(FRAME_SECONDS)
            if self._stop.wait(max(0.0, wait)):
                return
            if planned is not None and number >= planned:
                return
            payload = self._inbound.pack(self._mouth.frame(number))
            for message in self._faults.deliver(self._dialect.media(payload)):
                self._send(message)
                self._tally.frames_sent += 1
            self._press(self._mouth.key(number))
            self._pay()
            if pong is not None and pong.is_set():
                self._tally.round_trips.append(self._connection.latency)
                pong = None
            if (number - first) % PING_EVERY == PING_FROM:
                pong = self._connection.ping()
            number += 1

    def _press(self, key: str | None) -> None:
        if key is not None:
            self._send(self._dialect.digit(key))
            self._tally.digits += key
            self._timeline.record("digit", key)

    def _pay(self) -> None:
        """Send what the server is owed: acknowledgements, and the marks that have been reached."""
        while self._owed:
            message = self._owed.popleft()()
            if message is not None:
                self._send(message)
        with self._lock:
            names = self._ear.due(self._clock.position())
        for name in names:
            self._return_mark(name)

    def _return_mark(self, name: str) -> None:
        self._send(self._dialect.played(name))
        self._tally.marks += 1
        self._timeline.record("mark", name)

    def _send(self, message: base.Message) -> None:
        self._connection.send(json.dumps(message, separators=(",", ":")))

    def _read(self) -> None:
        try:
            while True:
                self._hear(self._connection.recv())
        except ConnectionClosed:
            self._timeline.record("closed", str(self._connection.close_code))
        finally:
            self._stop.set()

    def _hear(self, text: str | bytes) -> None:
        now = self._clock.position()
        try:
            said = self._dialect.understand(base.load(text))
            match said:
                case base.Audio(payload):
                    samples = self._outbound.unpack(payload)
                    with self._lock:
                        self._ear.play(samples, now)
                    self._time_audio(now)
                case base.Mark(name):
                    with self._lock:
                        self._ear.mark(name, now)
                case base.Clear():
                    self._clear(now)
                case base.Digits(digits):
                    self._tally.digits_heard += digits
        except RemoteError as error:
            if self._tally.complain(error.message):
                self._timeline.record("problem", error.message)
            self._owed.append(partial(self._dialect.complaint, error))

    def _time_audio(self, now: int) -> None:
        if self._tally.audio_messages == 0:
            self._timeline.record("first-audio")
        self._tally.audio_messages += 1
        if self._last_audio is not None:
            gap = (now - self._last_audio) / RATE
            self._tally.gaps += gap > GAP_SECONDS
            self._tally.longest_gap = max(self._tally.longest_gap, gap)
        self._last_audio = now

    def _clear(self, now: int) -> None:
        with self._lock:
            overtaken = self._ear.clear(now)
        self._tally.clears += 1
        self._timeline.record("clear")
        self._owed.append(self._dialect.cleared)
        if self._dialect.marks_outlive_clear:
            for name in overtaken:
                self._owed.append(partial(self._dialect.played, name))
                self._tally.marks += 1
                self._timeline.record("mark", name)
