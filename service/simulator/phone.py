"""A phone that places one call: it fetches markup, follows it, and streams audio.

    phone = Phone(Scenario(webhook_url=...)).start()
    phone.wait_for("first-audio")
    phone.hang_up()
    phone.join()
    phone.report, phone.heard

The call runs in a thread of its own. Every method may be called from any thread.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace
from urllib.parse import urljoin

from websockets.sync.client import ClientConnection

from service.clock import Clock, SystemClock
from service.errors import RemoteError
from service.simulator import leg
from service.simulator.audio.codec import FRAME, Samples
from service.simulator.audio.playback import Playback
from service.simulator.keypad import Keypad
from service.simulator.providers import markup, registry
from service.simulator.report import CallCounters, CallReport, Ending, call_report
from service.simulator.scenario import Scenario
from service.simulator.speech import Speech
from service.simulator.timeline import Event, Timeline
from service.simulator.webhook_client import MarkupRequest, WebhookClient


class Phone:
    """One call, to ``start`` once.

    The events of a good call, in order: ``webhook``, ``markup``, ``connecting``, ``connected``,
    ``start``, ``first-audio``, ``closed``, ``notice``, ``end``. Optional events: ``refused``,
    ``digit``, ``mark``, ``clear``, ``cut``, ``redirect``, ``redirected``, ``gather``, ``dial``,
    ``dialled``, ``say``, ``play``, ``status`` and ``problem``.
    """

    def __init__(self, scenario: Scenario, clock: Clock | None = None) -> None:
        self.scenario = scenario
        self._clock = clock or SystemClock()
        self.dialect = registry.of(scenario.webhook_url)(
            scenario.caller, scenario.callee, self._clock
        )
        self.dialect.is_outbound = scenario.is_outbound
        self.dialect.account = scenario.account or self.dialect.account
        self._signer = scenario.signer(self._clock)
        self._timeline = Timeline(self._clock)
        self._counters = CallCounters()
        self._speech = Speech(scenario)
        self._playback = Playback(self.dialect.buffer_seconds)
        self._media_clock = leg.MediaClock(self._clock)
        self._streamed = 0
        self._leg: leg.PhoneLeg | None = None
        self._leg_lock = threading.Lock()
        self._hung_up = threading.Event()
        self._redirect_url: str | None = None
        self._keypad = Keypad(scenario.pins, self._hung_up, self._timeline, self._counters)
        self._over = threading.Event()
        self._ending: Ending | None = None
        self._failure: str | None = None
        self._url = scenario.webhook_url
        self._webhook = WebhookClient(
            scenario,
            self.dialect,
            self._signer,
            clock=self._clock,
            timeline=self._timeline,
            counters=self._counters,
            hung_up=self._hung_up,
        )
        self._thread = threading.Thread(target=self._run, name="simulator-phone", daemon=True)

    def start(self) -> Phone:
        self._thread.start()
        return self

    def join(self, timeout: float | None = None) -> None:
        """Wait for the end of the call. Raises ``TimeoutError``."""
        # Not Thread.join: after Ctrl-C interrupts it, Python 3.11 considers the thread ended.
        if not self._over.wait(timeout):
            seen = ", ".join(event.name for event in self.events)
            raise TimeoutError(f"The call is not over after {timeout} seconds; there was: {seen}.")

    @property
    def is_over(self) -> bool:
        return self._over.is_set()

    def hang_up(self) -> None:
        """Hang up as the caller."""
        self._hung_up.set()
        with self._leg_lock:
            if self._leg is not None:
                self._leg.hang_up()

    def drop(self) -> None:
        """Cut the media socket without a stop message. The provider continues with the markup."""
        with self._leg_lock:
            if self._leg is not None:
                self._leg.drop()

    def redirect(self, url: str) -> None:
        """Continue with the markup of another URL, as when the provider's REST API is asked to.

        The provider ends the stream. Markup of its own that waits, such as a pause, ends first.
        """
        self._redirect_url = url
        with self._leg_lock:
            if self._leg is not None:
                self._leg.hang_up()

    def press(self, digits: str) -> None:
        self._speech.press(digits)

    @property
    def call_id(self) -> str:
        """The provider's id of the call."""
        return self.dialect.call_id

    @property
    def events(self) -> tuple[Event, ...]:
        return self._timeline.events

    def wait_for(self, name: str, *, count: int = 1, timeout: float = 60.0) -> Event:
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
        """Samples after which the caller hangs up; ``None`` if only ``hang_up`` ends the call."""
        frames = self._speech.frames_planned
        return None if frames is None else frames * FRAME

    @property
    def heard(self) -> Samples:
        """The audio that the caller heard, with silence in gaps, ``streamed`` samples long."""
        return self._playback.recording(self.streamed)

    @property
    def sent(self) -> Samples:
        """The audio that the caller said in the same time, before any network faults."""
        return self._speech.recording(self.streamed)

    def _run(self) -> None:
        try:
            self._ending = self._call()
        except RemoteError as error:
            self._failure = error.message
            self._ending = Ending.FAILED
        finally:
            self._webhook.close()
            self._timeline.record("end", self._ending)
            self._over.set()

    def _call(self) -> Ending:
        webhook = self._webhook
        if self.scenario.is_outbound and not webhook.notify_of_dialing():
            return Ending.NOT_ANSWERED
        self._timeline.record("webhook")
        verbs = webhook.fetch(MarkupRequest(self._url, "POST", self.dialect.webhook()))
        try:
            while isinstance(outcome := self._follow(verbs), MarkupRequest):
                if (
                    self._counters.redirects + self._counters.questions
                    > self.scenario.max_redirects
                ):
                    raise RemoteError(
                        f"The markup redirected more than {self.scenario.max_redirects} times."
                    )
                self._url = urljoin(self._url, outcome.url)
                verbs = webhook.fetch_with_retries(replace(outcome, url=self._url))
        finally:
            webhook.notify_of_end()
        return outcome

    def _follow(self, verbs: Sequence[markup.Verb]) -> Ending | MarkupRequest:
        for verb in verbs:
            if self._hung_up.is_set():
                return Ending.CALLER_HUNG_UP
            if (redirected := self._redirected()) is not None:
                return redirected
            match verb:
                case markup.Stream():
                    ended_here = self._stream(verb)
                    if (redirected := self._redirected()) is not None:
                        return redirected
                    if ended_here:
                        return Ending.CALLER_HUNG_UP
                case markup.Redirect(url, method):
                    self._counters.redirects += 1
                    self._timeline.record("redirect")
                    return MarkupRequest(url, method, self.dialect.redirected())
                case markup.Gather():
                    keys = self._keypad.press(verb)
                    if keys or verb.answers_silence:
                        return MarkupRequest(verb.url, verb.method, self.dialect.gathered(keys))
                case markup.Dial():
                    over = self._keypad.dial(
                        verb, self.scenario.dialled, self.scenario.dial_seconds
                    )
                    fields = self.dialect.dial_ended(self.scenario.dialled, over=over)
                    return MarkupRequest(verb.action, verb.method, fields)
                case markup.Hangup():
                    return Ending.SERVER_HUNG_UP
                case markup.Reject(reason):
                    return Ending(reason)
                case markup.Say() | markup.Play() | markup.Pause():
                    self._keypad.hear(verb)
                case markup.Unknown(name):
                    self._unknown(name)
        return Ending.CALLER_HUNG_UP if self._hung_up.is_set() else Ending.SERVER_HUNG_UP

    def _redirected(self) -> MarkupRequest | None:
        url, self._redirect_url = self._redirect_url, None
        if url is None:
            return None
        self._timeline.record("redirected")
        return MarkupRequest(url, "POST", self.dialect.redirected())

    def _unknown(self, name: str) -> None:
        sentence = f"{self.dialect.name} does not know <{name}> here."
        if not self.dialect.skips_unknown_verbs:
            raise RemoteError(sentence)
        if self._counters.add_problem(sentence):
            self._timeline.record("problem", sentence)

    def _stream(self, stream: markup.Stream) -> bool:
        """Open a stream, and return whether it was ended at this side."""
        self._timeline.record("connecting", stream.origin)
        try:
            dialled = leg.dial(stream, self.dialect.handshakes, self._signer)
        except RemoteError as error:
            self._counters.add_problem(error.message)
            self._timeline.record("refused", error.message)
            failed = self.dialect.stream_status("failed", error.message)
            self._webhook.notify("status", stream.status_url, failed)
            return False
        with dialled as connection:
            self._timeline.record("connected")
            started = self.dialect.stream_status("started")
            self._webhook.notify("status", stream.status_url, started)
            try:
                return self._talk(connection, stream)
            finally:
                stopped = self.dialect.stream_status("stopped")
                self._webhook.notify("status", stream.status_url, stopped)

    def _talk(self, connection: ClientConnection, stream: markup.Stream) -> bool:
        current = leg.PhoneLeg(
            connection,
            self.dialect,
            stream,
            self.scenario.codec or stream.inbound,
            speech=self._speech,
            playback=self._playback,
            faults=self.scenario.faults(),
            clock=self._media_clock,
            timeline=self._timeline,
            counters=self._counters,
        )
        with self._leg_lock:
            self._leg = current
        if self._hung_up.is_set() or self._redirect_url is not None:
            current.hang_up()
        try:
            return current.run()
        finally:
            with self._leg_lock:
                self._leg = None
                self._streamed = self._media_clock.position()

    @property
    def report(self) -> CallReport:
        return call_report(
            self.dialect.name,
            self._ending,
            self._failure,
            self._timeline,
            self._counters,
            self._playback,
            streamed=self.streamed,
            heard=self.heard,
        )
