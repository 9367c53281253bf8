"""One media socket, from the provider's side.

The thread that calls ``run`` sends a frame every 20 ms on a grid that starts with the call. It
blocks only until the next frame is due or the socket accepts it. The reader thread blocks only on
the socket. It queues its replies, so that one thread sends all messages.
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
from service.simulator.audio.network_faults import NetworkFaults
from service.simulator.audio.playback import Playback
from service.simulator.providers.dialect import (
    Audio,
    Clear,
    Dialect,
    Digits,
    Mark,
    Message,
    load,
)
from service.simulator.providers.markup import Stream
from service.simulator.providers.signing import RequestSigner
from service.simulator.report import CallCounters
from service.simulator.speech import Speech
from service.simulator.timeline import Timeline

GAP_SECONDS = 0.04
PING_EVERY, PING_FROM = 50, 10
"""In frames: one round trip a second, the first early enough for a short call."""

FRAME_SECONDS = FRAME / RATE


def dial(
    stream: Stream, attempts: int, signer: RequestSigner | None
) -> AbstractContextManager[ClientConnection]:
    """Open the socket of ``stream``. Raises ``RemoteError`` with the last attempt's error."""
    reason = ""
    for _ in range(attempts):
        try:
            return connect(
                stream.url,
                additional_headers=None if signer is None else signer.upgrade(stream.url),
                compression=None,
                # A proxy cannot reach this machine's loopback interface.
                proxy=None if stream.is_local else True,
                ping_interval=None,
                close_timeout=3,
            )
        except InvalidStatus as error:
            reason = f"The media socket was refused with {error.response.status_code}."
        except (InvalidHandshake, InvalidURI):
            reason = f"What listens at {stream.origin} does not speak WebSocket."
        except OSError as error:
            cause = error.strerror or "no answer in time"
            reason = f"The media socket at {stream.origin} could not be opened ({cause})."
    raise RemoteError(reason)


class MediaClock:
    """Positions on the call's timeline, in samples since its first ``start`` message."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._origin: float | None = None

    def start(self) -> int:
        """Return the number of the frame that is due. The first call starts the timeline."""
        if self._origin is None:
            self._origin = self._clock.monotonic()
            return 0
        return self.position() // FRAME

    def position(self) -> int:
        """Return the position in samples, or 0 before the timeline starts."""
        if self._origin is None:
            return 0
        return int((self._clock.monotonic() - self._origin) * RATE)

    def until(self, frame: int) -> float:
        """Return the seconds until this frame is due, negative if it is overdue."""
        return frame * FRAME_SECONDS - self.position() / RATE


class PhoneLeg:
    """One media socket of a call. ``hang_up`` and ``drop`` end ``run`` from any thread."""

    def __init__(
        self,
        connection: ClientConnection,
        dialect: Dialect,
        stream: Stream,
        inbound: Codec,
        *,
        speech: Speech,
        playback: Playback,
        faults: NetworkFaults[Message],
        clock: MediaClock,
        timeline: Timeline,
        counters: CallCounters,
    ) -> None:
        self._connection = connection
        self._dialect = dialect
        self._stream = stream
        self._inbound = inbound
        self._outbound = dialect.answer_codec(stream, inbound)
        self._speech = speech
        self._playback = playback
        self._faults = faults
        self._clock = clock
        self._timeline = timeline
        self._counters = counters
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._outgoing: deque[Callable[[], Message | None]] = deque()
        self._last_audio: int | None = None
        self._reader = threading.Thread(target=self._read, name="simulator-reader", daemon=True)

    def hang_up(self) -> None:
        self._stop.set()

    def drop(self) -> None:
        """Cut the connection without a stop message or closing handshake."""
        self._timeline.record("cut")
        with suppress(OSError):
            self._connection.socket.shutdown(socket.SHUT_RDWR)

    def run(self) -> bool:
        """Exchange audio until one side ends the stream, and return whether the caller hung up.

        False means that the server closed the socket or the connection was cut.
        """
        for message in self._dialect.open(self._stream, self._inbound):
            self._outgoing.append(partial(dict, message))
        self._reader.start()
        try:
            self._talk()
            # The reader ends first if the server closed the socket. Otherwise the caller hung up.
            hung_up = self._connection.close_code is None and self._reader.is_alive()
            if hung_up:
                self._outgoing.append(self._dialect.stop)
                self._flush()
        except ConnectionClosed:
            hung_up = False
        self._connection.close()
        self._reader.join()
        with self._lock:
            self._playback.clear(self._clock.position())
        return hung_up

    def _talk(self) -> None:
        self._flush()
        first = number = self._clock.start()
        self._timeline.record("start")
        pong = None
        planned = self._speech.frames_planned
        while True:
            wait = self._clock.until(number) + self._faults.delay(FRAME_SECONDS)
            if self._stop.wait(max(0.0, wait)):
                return
            if planned is not None and number >= planned:
                return
            payload = self._inbound.pack(self._speech.frame(number))
            for message in self._faults.deliver(self._dialect.media(payload)):
                self._send(message)
                self._counters.frames_sent += 1
            self._press(self._speech.key(number))
            self._flush()
            if pong is not None and pong.is_set():
                self._counters.round_trips.append(self._connection.latency)
                pong = None
            if (number - first) % PING_EVERY == PING_FROM:
                pong = self._connection.ping()
            number += 1

    def _press(self, key: str | None) -> None:
        if key is not None:
            self._send(self._dialect.digit(key))
            self._counters.digits += key
            self._timeline.record("digit", key)

    def _flush(self) -> None:
        """Send the queued replies, and the marks that have been reached."""
        while self._outgoing:
            message = self._outgoing.popleft()()
            if message is not None:
                self._send(message)
        with self._lock:
            names = self._playback.due(self._clock.position())
        for name in names:
            self._return_mark(name)

    def _return_mark(self, name: str) -> None:
        self._send(self._dialect.played(name))
        self._counters.marks += 1
        self._timeline.record("mark", name)

    def _send(self, message: Message) -> None:
        self._connection.send(json.dumps(message, separators=(",", ":")))

    def _read(self) -> None:
        try:
            while True:
                self._receive(self._connection.recv())
        except ConnectionClosed:
            self._timeline.record("closed", str(self._connection.close_code))
        finally:
            self._stop.set()

    def _receive(self, text: str | bytes) -> None:
        now = self._clock.position()
        try:
            command = self._dialect.parse(load(text))
            match command:
                case Audio(payload):
                    samples = self._outbound.unpack(payload)
                    with self._lock:
                        self._playback.play(samples, now)
                    self._measure_gap(now)
                case Mark(name):
                    with self._lock:
                        self._playback.mark(name, now)
                case Clear():
                    self._clear(now)
                case Digits(digits):
                    self._counters.digits_heard += digits
        except RemoteError as error:
            if self._counters.add_problem(error.message):
                self._timeline.record("problem", error.message)
            self._outgoing.append(partial(self._dialect.error_message, error))

    def _measure_gap(self, now: int) -> None:
        if self._counters.audio_messages == 0:
            self._timeline.record("first-audio")
        self._counters.audio_messages += 1
        if self._last_audio is not None:
            gap = (now - self._last_audio) / RATE
            self._counters.gaps += gap > GAP_SECONDS
            self._counters.longest_gap = max(self._counters.longest_gap, gap)
        self._last_audio = now

    def _clear(self, now: int) -> None:
        with self._lock:
            overtaken = self._playback.clear(now)
        self._counters.clears += 1
        self._timeline.record("clear")
        self._outgoing.append(self._dialect.cleared)
        if self._dialect.marks_outlive_clear:
            for name in overtaken:
                self._outgoing.append(partial(self._dialect.played, name))
                self._counters.marks += 1
                self._timeline.record("mark", name)
