"""The caller's side of markup without a stream: hears what is said, and presses keys for it."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from service.simulator.providers.markup import Dial, Gather, Pause, Play, Say
from service.simulator.report import Tally
from service.simulator.timeline import Timeline


class Handset:
    """``pins`` are pressed one at a question, the last of them again and again."""

    def __init__(
        self, pins: Sequence[str], hung_up: threading.Event, timeline: Timeline, tally: Tally
    ) -> None:
        self._pins = pins
        self._hung_up = hung_up
        self._timeline = timeline
        self._tally = tally

    def hear(self, verb: Say | Play | Pause) -> None:
        match verb:
            case Say(text):
                self._tally.said.append(text)
                self._timeline.record("say", text)
            case Play():
                self._timeline.record("play")
            case Pause(seconds):
                self._hung_up.wait(seconds)

    def dial(self, verb: Dial, outcome: str, seconds: float) -> bool:
        """Be connected with another number for a while; whether the caller hung up meanwhile."""
        self._timeline.record("dial", verb.number)
        hung_up = self._hung_up.wait(seconds)
        self._timeline.record("dialled", outcome)
        return hung_up

    def press(self, gather: Gather) -> str:
        """The keys that are pressed this time, as far as they are collected.

        Nobody waits for a time-out that is certain to come: it is only told.
        """
        self._tally.questions += 1
        for verb in gather.prompt:
            self.hear(verb)
        pins = self._pins[: self._tally.questions]
        keys = gather.collect(pins[-1] if pins else "")
        pressed = f"{len(keys)} keys" if keys else f"no key within {gather.seconds} s"
        self._timeline.record("gather", pressed)
        return keys
