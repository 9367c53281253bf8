"""The report of a simulated call, as text for people and as JSON for programs."""

from __future__ import annotations

import dataclasses
import json
import statistics
from dataclasses import dataclass, field
from enum import StrEnum

from service.simulator.audio import sound
from service.simulator.audio.codec import FRAME, RATE, Samples
from service.simulator.audio.playback import Playback
from service.simulator.timeline import Timeline

MAX_PROBLEMS = 20


class Ending(StrEnum):
    CALLER_HUNG_UP = "caller-hung-up"
    SERVER_HUNG_UP = "server-hung-up"
    REJECTED = "rejected"
    BUSY = "busy"
    NOT_ANSWERED = "not-answered"
    FAILED = "failed"


@dataclass(slots=True)
class CallCounters:
    """Counters of a call in progress. Each field is written by one thread at a time."""

    frames_sent: int = 0
    audio_messages: int = 0
    gaps: int = 0
    longest_gap: float = 0.0
    round_trips: list[float] = field(default_factory=list)
    digits: str = ""
    digits_heard: str = ""
    marks: int = 0
    clears: int = 0
    redirects: int = 0
    questions: int = 0
    said: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def add_problem(self, sentence: str) -> bool:
        """Keep a sentence, and return whether there was room for it."""
        if len(self.problems) == MAX_PROBLEMS:
            return False
        self.problems.append(sentence)
        return True


@dataclass(frozen=True, slots=True, kw_only=True)
class CallReport:
    """The measurements of one call.

    ``answered_ms``, ``connected_ms`` and ``first_audio_ms`` count from the webhook request.
    ``gaps`` counts intervals of more than 40 ms without an audio message. ``frames_missing`` is
    the silence that the caller heard between frames, ``frames_discarded`` the audio that exceeded
    the provider's buffer. ``level_dbfs`` is ``None`` for silence. ``problems`` are sentences about
    everything that a real provider would reject.
    """

    provider: str
    ended: Ending | None
    failure: str | None
    answered_ms: float | None
    connected_ms: float | None
    first_audio_ms: float | None
    seconds: float
    frames_sent: int
    frames_heard: int
    frames_missing: int
    frames_discarded: int
    gaps: int
    longest_gap_ms: float
    rtt_min_ms: float | None
    rtt_median_ms: float | None
    level_dbfs: float | None
    digits_sent: str
    digits_heard: str
    marks_returned: int
    clears: int
    redirects: int
    questions: int
    said: tuple[str, ...]
    problems: tuple[str, ...]

    @property
    def trouble(self) -> str | None:
        """The reason why no audio came through, in one sentence, or ``None`` if it did."""
        if self.failure is not None:
            return self.failure
        if self.problems:
            return self.problems[0]
        if self.ended in (Ending.REJECTED, Ending.BUSY):
            return f"The call was turned away ({self.ended})."
        if self.connected_ms is None:
            return "The call ended before a media socket was opened."
        if not self.frames_heard:
            return "The call was connected, but no audio came back."
        return None

    def json(self) -> str:
        return json.dumps(dataclasses.asdict(self) | {"ok": self.trouble is None}, indent=2)

    def text(self) -> str:
        heard = "silence" if self.level_dbfs is None else f"{self.level_dbfs:.1f} dBFS"
        rows = [
            ("answered", _ms(self.answered_ms)),
            ("connected", _ms(self.connected_ms)),
            ("first audio", _ms(self.first_audio_ms)),
            ("round trip", f"{_ms(self.rtt_min_ms)} min, {_ms(self.rtt_median_ms)} median"),
            ("streamed", f"{self.seconds:.1f} s"),
            ("frames", f"{self.frames_sent} sent, {self.frames_heard} heard"),
            ("missing", f"{self.frames_missing} frames"),
            ("gaps", f"{self.gaps} over 40 ms, longest {_ms(self.longest_gap_ms)}"),
            ("level heard", heard),
        ]
        optional = (
            ("discarded", f"{self.frames_discarded} frames", self.frames_discarded),
            ("keys pressed", self.digits_sent, self.digits_sent),
            ("keys heard", self.digits_heard, self.digits_heard),
            ("marks", f"{self.marks_returned} returned", self.marks_returned),
            ("redirects", str(self.redirects), self.redirects),
            ("asked for", f"keys, {self.questions} times", self.questions),
            ("said", " ".join(self.said), self.said),
            ("problems", " ".join(self.problems), self.problems),
        )
        rows += [(name, value) for name, value, present in optional if present]
        rows.append(("ended", self.ended or "not yet"))
        return "\n".join(f"{name:<13} {value}" for name, value in rows)


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f} ms"


def call_report(
    provider: str,
    ended: Ending | None,
    failure: str | None,
    timeline: Timeline,
    counters: CallCounters,
    playback: Playback,
    *,
    streamed: int,
    heard: Samples,
) -> CallReport:
    """Return the report of a call as far as it has come."""
    trips = counters.round_trips
    return CallReport(
        provider=provider,
        ended=ended,
        failure=failure,
        answered_ms=_at(timeline, "markup"),
        connected_ms=_at(timeline, "connected"),
        first_audio_ms=_at(timeline, "first-audio"),
        seconds=round(streamed / RATE, 3),
        frames_sent=counters.frames_sent,
        frames_heard=playback.heard_samples // FRAME,
        frames_missing=playback.missing_samples // FRAME,
        frames_discarded=playback.discarded_samples // FRAME,
        gaps=counters.gaps,
        longest_gap_ms=round(counters.longest_gap * 1000, 1),
        rtt_min_ms=round(min(trips) * 1000, 2) if trips else None,
        rtt_median_ms=round(statistics.median(trips) * 1000, 2) if trips else None,
        level_dbfs=sound.level(heard),
        digits_sent=counters.digits,
        digits_heard=counters.digits_heard,
        marks_returned=counters.marks,
        clears=counters.clears,
        redirects=counters.redirects,
        questions=counters.questions,
        said=tuple(counters.said),
        problems=tuple(counters.problems),
    )


def _at(timeline: Timeline, name: str) -> float | None:
    event = timeline.first(name)
    return None if event is None else round(event.at * 1000, 1)
