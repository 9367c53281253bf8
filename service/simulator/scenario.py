"""The scenario of a simulated call."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from service.clock import Clock, SystemClock
from service.errors import Invalid
from service.simulator.audio import sound
from service.simulator.audio.codec import Codec, Samples
from service.simulator.audio.network_faults import NetworkFaults
from service.simulator.providers import registry
from service.simulator.providers.dialect import Message
from service.simulator.providers.signing import SIGNERS, RequestSigner

ENDINGS = ("completed", "busy", "no-answer", "failed")
"""Outcomes of dialling a number."""

CALLER, CALLEE = "+14155550100", "+14155550199"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Scenario:
    """One simulated call. Raises ``Invalid`` with one sentence if it cannot be placed.

    The caller hangs up after ``seconds``. If that is ``None``, the caller hangs up ``tail`` seconds
    after the end of the sample, or never if ``loop`` repeats the sample. ``pins`` holds the keys
    for each prompt of the markup; the last entry is repeated. Without pins the caller presses
    nothing. ``codec`` is the provider's codec; ``None`` means the one that the markup requests.

    Faults on the way to the server: each frame is delayed by up to ``jitter_ms`` in order,
    ``drop_percent`` of the frames are lost, and ``shuffle`` reorders frames, which only Telnyx
    does. ``seed`` makes the faults repeatable.

    ``retry_seconds`` is how long a redirect is retried while nothing listens, like a router that
    holds requests during a restart. ``signing_key`` signs the requests; without it they are
    unsigned. ``account`` is the provider account in the requests.

    When the markup dials a number, the dialled call ends with ``dialled`` after ``dial_seconds``.
    A call with ``is_outbound`` was placed through the provider, ends in ``outcome``, and reports
    its statuses to ``status_url``.
    """

    webhook_url: str = field(repr=False)
    caller: str = CALLER
    callee: str = CALLEE
    sample: Samples = field(default_factory=sound.melody)
    loop: bool = False
    seconds: float | None = None
    tail: float = 0.5
    digits: str = ""
    pins: tuple[str, ...] = ()
    codec: Codec | None = None
    jitter_ms: float = 0.0
    drop_percent: float = 0.0
    shuffle: bool = False
    seed: int | None = None
    max_redirects: int = 10
    dialled: str = "completed"
    dial_seconds: float = 0.5
    is_outbound: bool = False
    outcome: str = "answered"
    status_url: str | None = field(default=None, repr=False)
    webhook_timeout: float = 15.0
    retry_seconds: float = 0.0
    signing_key: str | None = field(default=None, repr=False)
    account: str | None = None

    def __post_init__(self) -> None:
        dialect = registry.of(self.webhook_url)
        self.signer(SystemClock())
        if self.codec is not None and self.codec not in dialect.codecs:
            allowed = " or ".join(dialect.codecs)
            raise Invalid(f"codec must be {allowed} on {dialect.name}, not {self.codec}.")
        if self.shuffle and dialect.name != "telnyx":
            raise Invalid("shuffle is only for telnyx: the others keep frames in order.")
        if not re.fullmatch("[0-9*#A-D]*", self.digits):
            raise Invalid("digits may only hold 0 to 9, *, # and A to D.")
        if not all(re.fullmatch("[0-9*#]*", pin) for pin in self.pins):
            raise Invalid("pins may only hold 0 to 9, * and #.")
        if not 0 <= self.drop_percent <= 100:
            raise Invalid("drop_percent must lie between 0 and 100.")
        if not 0 <= self.jitter_ms <= 10_000:
            raise Invalid("jitter_ms must lie between 0 and 10000.")
        if self.dialled not in ENDINGS:
            raise Invalid(f"dialled must be one of {', '.join(ENDINGS)}.")
        if self.outcome not in ("answered", *ENDINGS[1:]):
            raise Invalid(f"outcome must be one of answered, {', '.join(ENDINGS[1:])}.")
        if not 0 <= self.dial_seconds <= 86_400:
            raise Invalid("dial_seconds must lie between 0 and 86400.")
        if self.seconds is not None and not 0 < self.seconds <= 86_400:
            raise Invalid("seconds must lie above 0 and not above 86400.")

    def signer(self, clock: Clock) -> RequestSigner | None:
        if self.signing_key is None:
            return None
        return SIGNERS[registry.of(self.webhook_url).name](self.signing_key, clock)

    def faults(self) -> NetworkFaults[Message]:
        """Create the network faults of one socket."""
        return NetworkFaults(
            jitter=self.jitter_ms / 1000,
            drop=self.drop_percent / 100,
            shuffle=self.shuffle,
            seed=self.seed,
        )
