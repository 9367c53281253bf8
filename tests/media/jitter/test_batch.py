"""A buffer in the batch plays exactly like a single buffer."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.wire import FRAME_SAMPLES, PERIOD, Encoding
from service.media.jitter.batch import BatchJitterBuffer
from service.media.jitter.buffer import JitterBuffer
from service.media.jitter.effects import Effect
from tests.support.fuzzing import fuzz

START = 1_000.0

Heard = tuple[bytes, Effect, bytes | None] | None


def frame(number: int) -> bytes:
    return bytes((number % 251, number // 251)) * (FRAME_SAMPLES // 2)


@dataclass
class Twins:
    """Two buffers with the same input: a single one, and one that is batched when possible."""

    counted: bool
    batch: BatchJitterBuffer
    plain: JitterBuffer = field(default_factory=lambda: JitterBuffer(Encoding.MULAW, paced=True))
    kept: JitterBuffer = field(default_factory=lambda: JitterBuffer(Encoding.MULAW, paced=True))
    sent: int = 0
    passes: int = 0
    """Number of operations by the batch."""

    def push(
        self, payload: bytes, at: float, order: int | None, earliest: float | None = None
    ) -> None:
        self.plain.push(payload, at, order, earliest)
        if len(payload) == FRAME_SAMPLES:
            rows = np.array([self.kept.row])
            codes = np.frombuffer(payload, np.uint8).reshape(1, -1)
            orders = None if order is None else np.array([order])
            since = None if earliest is None else np.array([earliest])
            if self.batch.push(rows, codes, np.array([at]), orders, since).all():
                self.passes += 1
                return
        self.kept.push(payload, at, order, earliest)

    def settle(self, at: float) -> None:
        self.plain.settle(at)
        self.batch.settle(at)
        if self.kept.owner is None:
            self.kept.settle(at)

    def take(self, at: float) -> tuple[Heard, Heard]:
        expected = self._heard(self.plain, self.plain.take(at))
        taken = self.batch.take(np.array([self.kept.row]), at)
        if taken.ordinary.all():
            self.passes += 1
            cut = taken.cut[0].tobytes() if taken.follow[0] else None
            effect = Effect.SPLICE if taken.follow[0] else Effect.PLAIN
            return expected, (taken.frames[0].tobytes(), effect, cut)
        found = self._heard(self.kept, self.kept.take(at))
        self.batch.admit(self.kept)
        return expected, found

    @staticmethod
    def _heard(buffer: JitterBuffer, taken: bytes | None) -> Heard:
        return None if taken is None else (taken, buffer.effect, buffer.spliced)

    def same(self) -> bool:
        self.kept.reclaim()
        return all(
            one == other
            for one, other in (
                (self.plain.stats, self.kept.stats),
                (self.plain.depth, self.kept.depth),
                (self.plain.chunks.passed, self.kept.chunks.passed),
                (self.plain.chunks.lost, self.kept.chunks.lost),
                (self.plain.chunks.late, self.kept.chunks.late),
                (self.plain.pace.base, self.kept.pace.base),
                (self.plain.pace.capacity, self.kept.pace.capacity),
                (self.plain.chunks.renumbered, self.kept.chunks.renumbered),
            )
        )


ordinary = st.just("frame")
rare = ["lost", "twice", "late", "short", "long", "pause", "look", "clear", "burst"]
rare += ["anew", "ahead", "still"] + ["stall", "hold"] * 2
acts = st.lists(
    st.tuples(st.one_of(*([ordinary] * 12), st.sampled_from(rare)), st.floats(0, 0.019)),
    min_size=1,
    max_size=240,
)


@fuzz(60)
@given(acts, st.booleans())
def test_batched_buffer_plays_like_a_single_one(
    happenings: list[tuple[str, float]], counted: bool
) -> None:
    twins, shift, is_stuck = Twins(counted, BatchJitterBuffer()), 0, False
    missed = stalled = 0
    for tick, (act, early) in enumerate(happenings):
        due = START + (tick + stalled) * PERIOD
        number = twins.sent
        if act == "still":
            is_stuck = not is_stuck
        elif act in ("anew", "ahead"):
            shift = 10_000 if act == "ahead" else -number

        def say(
            place: int,
            at: float,
            payload: bytes | None = None,
            shift: int = shift,
            is_stuck: bool = is_stuck,
            earliest: float | None = None,
        ) -> None:
            order = 7 if is_stuck else place + shift
            twins.push(payload or frame(place), at, order if counted else None, earliest)

        arrival = due - early
        if act == "stall":
            # Nothing arrives for a while, and then everything.
            missed += 3
        elif act == "hold":
            # A stall of the engine: ten ticks are skipped, and the data of that time is read late.
            due += 10 * PERIOD
            stalled += 10
            twins.settle(due)
            for _ in range(11):
                say(twins.sent, due, earliest=due - 0.2)
                twins.sent += 1
        elif missed > 3:
            for _ in range(missed + 1):
                say(twins.sent, arrival)
                twins.sent += 1
            missed = 0
        elif missed:
            missed += 1
        elif act == "burst":
            for _ in range(5):
                say(twins.sent, arrival)
                twins.sent += 1
        elif act == "late":
            twins.sent += 2
            say(number + 1, arrival)
            say(number, arrival)
        elif act == "short":
            say(number, arrival, frame(number)[:70])
            twins.sent += 1
        elif act == "long":
            say(number, arrival, frame(number) * 3)
            twins.sent += 1
        elif act == "pause":
            pass
        else:
            if act != "lost":
                say(number, arrival)
            if act == "twice":
                say(number, arrival)
            twins.sent += 1
        if act == "clear":
            twins.plain.clear()
            twins.kept.clear()
        if act == "look":
            assert twins.same()
        expected, found = twins.take(due)
        assert found == expected
    assert twins.same()


def test_a_leg_without_jitter_is_batched_from_its_second_frame() -> None:
    """Many calm windows, each of which may end in a cut; every frame is early."""
    twins = Twins(counted=True, batch=BatchJitterBuffer())
    for number in range(1000):
        twins.push(frame(number), START + number * PERIOD - 0.001, number)
        expected, found = twins.take(START + number * PERIOD)
        assert found == expected
    assert twins.same()
    assert twins.passes > 1900


def test_calm_windows_grow_and_shrink_equally() -> None:
    """After gaps the calm window grows; after long calm it shrinks again."""
    twins = Twins(counted=False, batch=BatchJitterBuffer())
    tick = 0
    for gaps, calm in ((1, 330), (4, 900), (2, 500), (3, 1200)):
        for _ in range(gaps):
            tick += 1
            assert len(set(twins.take(START + tick * PERIOD))) == 1
            # The missing frames arrive all at once, so that there is something to cut.
            for _ in range(3):
                twins.push(frame(tick), START + tick * PERIOD, None)
            tick += 1
            assert len(set(twins.take(START + tick * PERIOD))) == 1
        for _ in range(calm):
            tick += 1
            twins.push(frame(tick), START + tick * PERIOD - 0.015, None)
            assert len(set(twins.take(START + tick * PERIOD))) == 1
        assert twins.same()
    assert twins.plain.stats.dropped > 3


@pytest.mark.parametrize("counted", [True, False])
def test_excess_audio_is_dropped_equally(counted: bool) -> None:
    """Twice the real-time rate, for so long that the buffer is emptied."""
    twins = Twins(counted, BatchJitterBuffer())
    for tick in range(800):
        for number in (2 * tick, 2 * tick + 1):
            twins.push(frame(number), START + tick * PERIOD - 0.005, number if counted else None)
        expected, found = twins.take(START + tick * PERIOD)
        assert found == expected
    assert twins.plain.overrun.count == twins.kept.overrun.count == 1
    assert twins.same()
    assert twins.plain.stats.dropped > 700
    # All frames except the first, and the frames that arrived while the buffer was emptied twice.
    assert twins.passes > 2390


def test_each_leg_drops_its_own_excess_audio() -> None:
    batch = BatchJitterBuffer()
    buffers = [JitterBuffer(Encoding.MULAW, paced=True) for _ in range(100)]
    twins = [JitterBuffer(Encoding.MULAW, paced=True) for _ in range(100)]
    for number, (buffer, twin) in enumerate(zip(buffers, twins, strict=True)):
        for each in (buffer, twin):
            each.push(frame(number), START)
            each.push(frame(number + 1), START)
            assert each.take(START + PERIOD) == frame(number)
        assert batch.admit(buffer)
    rows = np.array([buffer.row for buffer in buffers])
    for turn in range(12):
        # Each leg receives more than the previous one.
        some = [number for number in range(100) if number % 12 >= turn]
        codes = np.array([list(frame(number + turn)) for number in some], np.uint8)
        times = np.full(len(some), START + 2 * PERIOD)
        assert batch.push(rows[some], codes, times, None).all()
        for number in some:
            twins[number].push(frame(number + turn), START + 2 * PERIOD)
    for ahead in range(3, 6):
        at = START + ahead * PERIOD
        taken = batch.take(rows, at)
        expected = [twin.take(at) for twin in twins]
        frames = iter(taken.frames)
        found = [next(frames).tobytes() if there else None for there in taken.ordinary]
        assert [each for each, there in zip(expected, taken.ordinary, strict=True) if there] == [
            each for each in found if each
        ]
        spliced = [twin.spliced for twin in twins if twin.effect is Effect.SPLICE]
        assert [cut.tobytes() for cut in taken.cut] == spliced
    assert batch.dropped == sum(twin.stats.dropped for twin in twins)


def test_a_leg_that_is_batched_after_a_drop_blends_over_it() -> None:
    batch = BatchJitterBuffer()
    buffer, twin = (JitterBuffer(Encoding.MULAW, paced=True) for _ in range(2))
    for each in (buffer, twin):
        each.push(frame(0), START)
        each.push(frame(1), START)
        assert each.take(START + PERIOD) == frame(0)
        for number in range(2, 9):
            each.push(frame(number), START + PERIOD)
    assert twin.stats.dropped > 0
    assert batch.admit(buffer)
    taken = batch.take(np.array([buffer.row]), START + 2 * PERIOD)
    assert taken.frames[0].tobytes() == twin.take(START + 2 * PERIOD)
    assert (twin.effect, twin.spliced) == (Effect.SPLICE, taken.cut[0].tobytes())


def test_rows_of_removed_legs_are_reused() -> None:
    batch = BatchJitterBuffer()
    rows = set()
    for _ in range(500):
        buffer = JitterBuffer(Encoding.MULAW, paced=True)
        buffer.push(frame(1), START)
        buffer.push(frame(2), START)
        assert buffer.take(START + PERIOD) == frame(1)
        assert batch.admit(buffer)
        rows.add(buffer.row)
        batch.forget(buffer)
        assert buffer.owner is None
        assert buffer.take(START + 2 * PERIOD) == frame(2)
    assert len(rows) == 1


def test_an_unused_row_gives_and_takes_nothing() -> None:
    batch = BatchJitterBuffer()
    unused = np.zeros(1, np.intp)
    codes = np.zeros((1, FRAME_SAMPLES), np.uint8)
    assert not batch.push(unused, codes, np.array([START]), None).any()
    assert not batch.take(unused, START).ordinary.any()


def test_many_legs_are_independent() -> None:
    batch = BatchJitterBuffer()
    buffers = [JitterBuffer(Encoding.MULAW, paced=True) for _ in range(300)]
    for number, buffer in enumerate(buffers):
        buffer.push(frame(number), START)
        buffer.push(frame(number + 1), START)
        assert buffer.take(START + PERIOD) == frame(number)
        assert batch.admit(buffer)
    rows = np.array([buffer.row for buffer in buffers])
    assert len(set(rows.tolist())) == 300
    codes = np.array([list(frame(number + 2)) for number in range(300)], np.uint8)
    assert batch.push(rows, codes, np.full(300, START + PERIOD), None).all()
    for ahead in (1, 2):
        taken = batch.take(rows, START + (1 + ahead) * PERIOD)
        assert taken.ordinary.all()
        assert not taken.follow.any()
        assert [row.tobytes() for row in taken.frames] == [frame(n + ahead) for n in range(300)]
