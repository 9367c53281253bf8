"""A phone that places one call: asks the webhook, does what the markup says, talks and listens.

    phone = Phone(Plan(webhook_url=...)).start()
    phone.wait_for("first-audio")
    phone.hang_up()
    phone.join()
    phone.report, phone.heard

The call runs in a thread of its own; every method may be called from any thread.
"""

from __future__ import annotations

import statistics
import threading
from collections.abc import Sequence
from dataclasses import replace
from urllib.parse import urljoin

from websockets.sync.client import ClientConnection

from service.clock import Clock, SystemClock
from service.errors import RemoteError
from service.simulator import leg
from service.simulator.audio import sound
from service.simulator.audio.codec import FRAME, RATE, Samples
from service.simulator.audio.playback import Ear
from service.simulator.keypad import Handset
from service.simulator.provider_requests import Requests
from service.simulator.providers import markup, registry
from service.simulator.report import Ending, Report, Tally
from service.simulator.scenario import Scenario
from service.simulator.speech import Mouth
from service.simulator.timeline import Event, Timeline
from service.simulator.webhook_client import Request


class Phone:
    """One call. ``start`` it once.

    Events, in the order of a good call: ``webhook``, ``markup``, ``connecting``, ``connected``,
    ``start``, ``first-audio``, ``closed``, ``notice``, ``end``. Where they happen: ``refused``,
    ``digit``, ``mark``, ``clear``, ``cut``, ``redirect``, ``gather``, ``dial``, ``dialled``,
    ``say``, ``play``, ``status`` and ``problem``.
    """

    def __init__(self, plan: Scenario, clock: Clock | None = None) -> None:
        self.plan = plan
        self._clock = clock or SystemClock()
        self.dialect = registry.of(plan.webhook_url)(plan.caller, plan.callee, self._clock)
        self.dialect.is_outbound = plan.is_outbound
        self.dialect.account = plan.account or self.dialect.account
        self._signer = plan.signer(self._clock)
        self._timeline = Timeline(self._clock)
        self._tally = Tally()
        self._mouth = Mouth(plan)
        self._ear = Ear(self.dialect.buffer_seconds)
        self._media_clock = leg.MediaClock(self._clock)
        self._streamed = 0
        self._leg: leg.Leg | None = None
        self._leg_lock = threading.Lock()
        self._hung_up = threading.Event()
        self._handset = Handset(plan.pins, self._hung_up, self._timeline, self._tally)
        self._over = threading.Event()
        self._ending: Ending | None = None
        self._failure: str | None = None
        self._url = plan.webhook_url
        self._requests = Requests(
            plan,
            self.dialect,
            self._signer,
            clock=self._clock,
            timeline=self._timeline,
            tally=self._tally,
            hung_up=self._hung_up,
        )
        self._thread = threading.Thread(target=self._run, name="simulator-phone", daemon=True)

    def start(self) -> Phone:
        self._thread.start()
        return self

    def join(self, timeout: float | None = None) -> None:
        """Wait for the end of the call. Raises ``TimeoutError`` where it does not come."""
        # Not the thread's own join: interrupted by Ctrl-C, Python 3.11 takes the thread for ended.
        if not self._over.wait(timeout):
            seen = ", ".join(event.name for event in self.events)
            raise TimeoutError(f"The call is not over after {timeout} seconds; there was: {seen}.")

    @property
    def is_over(self) -> bool:
        return self._over.is_set()

    def hang_up(self) -> None:
        """End the call as the caller does."""
        self._hung_up.set()
        with self._leg_lock:
            if self._leg is not None:
                self._leg.hang_up()

    def drop(self) -> None:
        """Cut the media socket without a word; the provider goes on with the markup."""
        with self._leg_lock:
            if self._leg is not None:
                self._leg.drop()

    def press(self, digits: str) -> None:
        self._mouth.press(digits)

    @property
    def call_id(self) -> str:
        """The provider's id of this call."""
        return self.dialect.call_id

    @property
    def events(self) -> tuple[Event, ...]:
        return self._timeline.events

    def wait_for(self, name: str, *, count: int = 1, timeout: float = 10.0) -> Event:
        """Wait until an event has happened ``count`` times. Raises ``TimeoutError``."""
        return self._timeline.wait_for(name, count, timeout)

    @property
    def streamed(self) -> int:
        """Samples from the first ``start`` message until the last media socket closed."""
        with self._leg_lock:
            if self._leg is not None:
                return self._media_clock.position()
            return self._streamed

    @property
    def planned(self) -> int | None:
        """Samples after which the caller hangs up; ``None`` where he waits for ``hang_up``."""
        frames = self._mouth.frames_planned
        return None if frames is None else frames * FRAME

    @property
    def heard(self) -> Samples:
        """What the caller has heard: silence where nothing came, ``streamed`` samples long."""
        return self._ear.recording(self.streamed)

    @property
    def sent(self) -> Samples:
        """What the caller has said over the same time, whatever the network did to it."""
        return self._mouth.recording(self.streamed)

    def _run(self) -> None:
        try:
            self._ending = self._call()
        except RemoteError as error:
            self._failure = error.message
            self._ending = Ending.FAILED
        finally:
            self._requests.close()
            self._timeline.record("end", self._ending)
            self._over.set()

    def _call(self) -> Ending:
        requests = self._requests
        if self.plan.is_outbound and not requests.notify_after_commit():
            return Ending.NOT_ANSWERED
        self._timeline.record("webhook")
        verbs = requests.ask(Request(self._url, "POST", self.dialect.webhook()))
        try:
            while isinstance(outcome := self._follow(verbs), Request):
                if self._tally.redirects + self._tally.questions > self.plan.max_redirects:
                    raise RemoteError(
                        f"The markup redirected more than {self.plan.max_redirects} times."
                    )
                self._url = urljoin(self._url, outcome.url)
                verbs = requests.ask_again(replace(outcome, url=self._url))
        finally:
            requests.say_goodbye()
        return outcome

    def _follow(self, verbs: Sequence[markup.Verb]) -> Ending | Request:
        for verb in verbs:
            if self._hung_up.is_set():
                return Ending.CALLER_HUNG_UP
            match verb:
                case markup.Stream():
                    if self._stream(verb):
                        return Ending.CALLER_HUNG_UP
                case markup.Redirect(url, method):
                    self._tally.redirects += 1
                    self._timeline.record("redirect")
                    return Request(url, method, self.dialect.redirected())
                case markup.Gather():
                    keys = self._handset.press(verb)
                    if keys or verb.answers_silence:
                        return Request(verb.url, verb.method, self.dialect.gathered(keys))
                case markup.Dial():
                    over = self._handset.dial(verb, self.plan.dialled, self.plan.dial_seconds)
                    fields = self.dialect.dialled(self.plan.dialled, over=over)
                    return Request(verb.action, verb.method, fields)
                case markup.Hangup():
                    return Ending.SERVER_HUNG_UP
                case markup.Reject(reason):
                    return Ending(reason)
                case markup.Say() | markup.Play() | markup.Pause():
                    self._handset.hear(verb)
                case markup.Unknown(name):
                    self._unknown(name)
        return Ending.CALLER_HUNG_UP if self._hung_up.is_set() else Ending.SERVER_HUNG_UP

    def _unknown(self, name: str) -> None:
        sentence = f"{self.dialect.name} does not know <{name}> here."
        if not self.dialect.skips_unknown_verbs:
            raise RemoteError(sentence)
        if self._tally.complain(sentence):
            self._timeline.record("problem", sentence)

    def _stream(self, stream: markup.Stream) -> bool:
        """Whether the caller hung up while streaming."""
        self._timeline.record("connecting", stream.origin)
        try:
            dialled = leg.dial(stream, self.dialect.handshakes, self._signer)
        except RemoteError as error:
            self._tally.complain(error.message)
            self._timeline.record("refused", error.message)
            failed = self.dialect.streamed("failed", error.message)
            self._requests.tell("status", stream.status_url, failed)
            return False
        with dialled as connection:
            self._timeline.record("connected")
            started = self.dialect.streamed("started")
            self._requests.tell("status", stream.status_url, started)
            try:
                return self._talk(connection, stream)
            finally:
                stopped = self.dialect.streamed("stopped")
                self._requests.tell("status", stream.status_url, stopped)

    def _talk(self, connection: ClientConnection, stream: markup.Stream) -> bool:
        current = leg.Leg(
            connection,
            self.dialect,
            stream,
            self.plan.codec or stream.inbound,
            mouth=self._mouth,
            ear=self._ear,
            faults=self.plan.faults(),
            clock=self._media_clock,
            timeline=self._timeline,
            tally=self._tally,
        )
        with self._leg_lock:
            self._leg = current
        if self._hung_up.is_set():
            current.hang_up()
        try:
            return current.run()
        finally:
            with self._leg_lock:
                self._leg = None
                self._streamed = self._media_clock.position()

    @property
    def report(self) -> Report:
        tally, trips = self._tally, self._tally.round_trips
        return Report(
            provider=self.dialect.name,
            ended=self._ending,
            failure=self._failure,
            answered_ms=self._at("markup"),
            connected_ms=self._at("connected"),
            first_audio_ms=self._at("first-audio"),
            seconds=round(self.streamed / RATE, 3),
            frames_sent=tally.frames_sent,
            frames_heard=self._ear.heard_samples // FRAME,
            frames_missing=self._ear.missing_samples // FRAME,
            frames_discarded=self._ear.discarded_samples // FRAME,
            gaps=tally.gaps,
            longest_gap_ms=round(tally.longest_gap * 1000, 1),
            rtt_min_ms=round(min(trips) * 1000, 2) if trips else None,
            rtt_median_ms=round(statistics.median(trips) * 1000, 2) if trips else None,
            level_dbfs=sound.level(self.heard),
            digits_sent=tally.digits,
            digits_heard=tally.digits_heard,
            marks_returned=tally.marks,
            clears=tally.clears,
            redirects=tally.redirects,
            questions=tally.questions,
            said=tuple(tally.said),
            problems=tuple(tally.problems),
        )

    def _at(self, name: str) -> float | None:
        event = self._timeline.first(name)
        return None if event is None else round(event.at * 1000, 1)
