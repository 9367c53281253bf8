"""The caller's side of markup without a stream: prompts, key presses and dialled calls."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from service.simulator.providers.markup import Dial, Gather, Pause, Play, Say
from service.simulator.report import CallCounters
from service.simulator.timeline import Timeline


class Keypad:
    """Enters one of ``pins`` for each prompt, and the last one for every further prompt."""

    def __init__(
        self,
        pins: Sequence[str],
        hung_up: threading.Event,
        timeline: Timeline,
        counters: CallCounters,
    ) -> None:
        self._pins = pins
        self._hung_up = hung_up
        self._timeline = timeline
        self._counters = counters

    def hear(self, verb: Say | Play | Pause) -> None:
        match verb:
            case Say(text):
                self._counters.said.append(text)
                self._timeline.record("say", text)
            case Play():
                self._timeline.record("play")
            case Pause(seconds):
                self._hung_up.wait(seconds)

    def dial(self, verb: Dial, outcome: str, seconds: float) -> bool:
        """Be connected to another number for some seconds. Returns whether the caller hung up."""
        self._timeline.record("dial", verb.number)
        hung_up = self._hung_up.wait(seconds)
        self._timeline.record("dialled", outcome)
        return hung_up

    def press(self, gather: Gather) -> str:
        """Return the keys that the caller presses for this prompt, as far as they are collected.

        A timeout is recorded without waiting for it.
        """
        self._counters.questions += 1
        for verb in gather.prompt:
            self.hear(verb)
        pins = self._pins[: self._counters.questions]
        keys = gather.collect(pins[-1] if pins else "")
        pressed = f"{len(keys)} keys" if keys else f"no key within {gather.seconds} s"
        self._timeline.record("gather", pressed)
        return keys
