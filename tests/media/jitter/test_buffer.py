"""The jitter buffer in simulated time: the frames heard, their delay, and the frames dropped."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable
from random import Random
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.wire import PERIOD, Encoding
from service.errors import RemoteError
from service.media.jitter.buffer import (
    BURST_CAPACITY,
    LONGEST_WINDOW,
    MAX_MARKS,
    SLACK,
    STALE,
    WINDOW,
    JitterBuffer,
)
from service.media.jitter.effects import Effect
from service.media.jitter.pace import LONGEST_CAPACITY, PACED_CAPACITY

START = 1000.0
ROUNDING = 1e-6
FRAME_BYTES = 320
ORDINARY_DELAY = PACED_CAPACITY * PERIOD
LONGEST_DELAY = LONGEST_CAPACITY * PERIOD


class Frame(NamedTuple):
    """A frame from the buffer, and how it joins the previous one."""

    payload: bytes
    effect: Effect
    spliced: bytes | None = None


def take(buffer: JitterBuffer, at: float) -> Frame | None:
    payload = buffer.take(at)
    return None if payload is None else Frame(payload, buffer.effect, buffer.spliced)


def numbered(number: int) -> bytes:
    """Return a frame of linear audio that contains its number."""
    return struct.pack("<I", number) * 80


def number_of(payload: bytes) -> int:
    (number,) = struct.unpack_from("<I", payload)
    assert payload == numbered(number)
    return int(number)


class Arrival(NamedTuple):
    at: float
    payload: bytes
    order: int | None = None


class Heard(NamedTuple):
    at: float
    frame: Frame | None


def play(buffer: JitterBuffer, arrivals: Iterable[Arrival], until: float) -> list[Heard]:
    """Push the arrivals and take a frame at every tick, from ``START`` to ``until``."""
    waiting = sorted(arrivals, key=lambda arrival: arrival.at)
    heard = []
    place = 0
    for number in range(round((until - START) / PERIOD)):
        tick = START + number * PERIOD
        while place < len(waiting) and waiting[place].at <= tick:
            arrival = waiting[place]
            buffer.push(arrival.payload, arrival.at, arrival.order)
            place += 1
        heard.append(Heard(tick, take(buffer, tick)))
    return heard


def voices(heard: Iterable[Heard]) -> list[tuple[float, int]]:
    """Return the time and number of each frame heard, without silence and concealment."""
    return [
        (at, number_of(frame.payload))
        for at, frame in heard
        if frame is not None and frame.effect is not Effect.CONCEAL
    ]


def effects(heard: Iterable[Heard]) -> list[Effect | None]:
    return [frame and frame.effect for _, frame in heard]


def delays(heard: Iterable[Heard], sent: list[float]) -> list[tuple[float, float]]:
    """Return the time and the delay of every frame heard."""
    return [(at, at - sent[number]) for at, number in voices(heard)]


def steady(count: int, phase: float = 0.01, period: float = PERIOD) -> list[float]:
    return [START + phase + number * period for number in range(count)]


def arriving(times: Iterable[float]) -> list[Arrival]:
    return [Arrival(at, numbered(number)) for number, at in enumerate(times)]


def linear(*, paced: bool = True) -> JitterBuffer:
    return JitterBuffer(Encoding.LINEAR, paced=paced)


@pytest.mark.parametrize("phase", [tenth / 10_000 for tenth in range(0, 200, 3)])
@pytest.mark.parametrize("paced", [True, False])
def test_audio_without_jitter_is_complete_and_prompt_at_every_phase_of_the_tick(
    phase: float, paced: bool
) -> None:
    sent = steady(300, phase)
    heard = play(linear(paced=paced), arriving(sent), START + 7)
    assert [number for _, number in voices(heard)] == list(range(300))
    late = [delay for _, delay in delays(heard, sent)]
    assert max(late) <= PERIOD + SLACK + ROUNDING
    first = effects(heard).index(Effect.RESUME)
    assert effects(heard)[first + 1 : first + 300] == [Effect.PLAIN] * 299


@pytest.mark.parametrize("encoding", list(Encoding))
def test_a_frame_has_20_ms_in_every_encoding(encoding: Encoding) -> None:
    buffer = JitterBuffer(encoding, paced=True)
    buffer.push(bytes(160 * encoding.bytes_per_sample * 2), START)
    assert buffer.depth == pytest.approx(2 * PERIOD)
    frame = take(buffer, START + SLACK)
    assert frame is not None
    assert len(frame.payload) == 160 * encoding.bytes_per_sample
    assert buffer.depth == pytest.approx(PERIOD)


def test_jitter_is_zero_for_regular_arrivals_and_grows_for_irregular_ones() -> None:
    calm, rough = linear(), linear()
    sent = steady(500)
    play(calm, arriving(sent), START + 10)
    random = Random(1)
    play(rough, arriving(sorted(at + random.uniform(0, 0.02) for at in sent)), START + 10)
    assert calm.stats.jitter < 1e-6
    assert 0.001 < rough.stats.jitter < 0.02


@given(st.lists(st.integers(1, 480), min_size=1, max_size=60), st.booleans())
def test_chunks_of_any_length_are_reframed_without_losing_a_sample(
    lengths: list[int], paced: bool
) -> None:
    """Chunks of up to 60 ms, each arriving at the time of its last sample."""
    spoken = np.arange(sum(lengths), dtype="<u2").tobytes()
    arrivals = []
    position = 0
    for length in lengths:
        stop = position + length
        arrivals.append(Arrival(START + stop / 8000, spoken[2 * position : 2 * stop]))
        position = stop
    heard = play(linear(paced=paced), arrivals, START + position / 8000 + 1)
    played = b"".join(
        frame.payload for _, frame in heard if frame and frame.effect is not Effect.CONCEAL
    )
    # Between the samples only the silence of filled frames is allowed.
    assert [sample for sample in np.frombuffer(played, "<u2") if sample] == list(
        range(1, len(spoken) // 2)
    )


def test_an_incomplete_frame_is_filled_if_its_rest_does_not_arrive() -> None:
    buffer = linear()
    buffer.push(b"\1\1" * 100, START)
    assert take(buffer, START + STALE - 0.001) is None
    frame = take(buffer, START + STALE + ROUNDING)
    assert frame == Frame(b"\1\1" * 100 + bytes(120), Effect.RESUME)
    assert buffer.depth == 0


@pytest.mark.parametrize(("encoding", "silence"), [(Encoding.MULAW, 0xFF), (Encoding.ALAW, 0xD5)])
def test_an_incomplete_frame_is_filled_with_silence(encoding: Encoding, silence: int) -> None:
    buffer = JitterBuffer(encoding, paced=True)
    buffer.push(b"\x01" * 10, START)
    frame = take(buffer, START + STALE + ROUNDING)
    assert frame is not None
    assert frame.payload == b"\x01" * 10 + bytes([silence]) * 150


def test_a_frame_that_is_completed_in_time_is_not_filled() -> None:
    buffer = linear()
    buffer.push(numbered(7)[:200], START)
    assert take(buffer, START + 0.02) is None
    buffer.push(numbered(7)[200:], START + 0.03)
    assert take(buffer, START + 0.04) == Frame(numbered(7), Effect.RESUME)


def test_an_empty_chunk_is_ignored() -> None:
    buffer = linear()
    buffer.push(b"", START)
    assert take(buffer, START + 1) is None
    assert buffer.stats.taken == 0


def test_output_is_silent_before_the_first_audio_and_concealed_after_the_last() -> None:
    heard = play(linear(), arriving(steady(3, phase=0.09)), START + 0.3)
    assert effects(heard) == [
        *[None] * 5,
        Effect.RESUME,
        Effect.PLAIN,
        Effect.PLAIN,
        Effect.CONCEAL,
        *[None] * 6,
    ]
    concealed = heard[8].frame
    assert concealed is not None
    assert number_of(concealed.payload) == 2


def test_each_gap_is_counted_and_ends_with_a_resume() -> None:
    buffer = linear()
    sent = steady(10) + [at + 1.0 for at in steady(10)] + [at + 2.0 for at in steady(10)]
    heard = play(buffer, arriving(sent), START + 3)
    assert effects(heard).count(Effect.RESUME) == 3
    assert effects(heard).count(Effect.CONCEAL) == buffer.stats.gaps == 3
    assert buffer.stats.taken == 30
    assert buffer.stats.dropped == 0


def test_audio_that_arrives_just_before_a_tick_waits_for_the_next() -> None:
    buffer = linear()
    buffer.push(numbered(0), START)
    assert take(buffer, START + SLACK / 2) is None
    assert take(buffer, START + SLACK / 2 + PERIOD) == Frame(numbered(0), Effect.RESUME)


def shaken(sent: list[float], spread: float, seed: int) -> list[float]:
    """Return arrival times that are up to ``spread`` seconds early or late, in order as in TCP."""
    random = Random(seed)
    arrivals: list[float] = []
    for at in sent:
        shaken_at = at + spread + random.uniform(-spread, spread)
        arrivals.append(max(shaken_at, arrivals[-1] if arrivals else shaken_at))
    return arrivals


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("spread", "share"), [(0.01, 0.99), (0.04, 0.95), (0.08, 0.8)])
def test_jitter_increases_the_delay_up_to_the_capacity(
    spread: float, share: float, seed: int
) -> None:
    sent = steady(3000)
    arrivals = shaken(sent, spread, seed)
    buffer = linear()
    heard = play(buffer, arriving(arrivals), START + 62)
    numbers = [number for _, number in voices(heard)]
    assert numbers == sorted(set(numbers))
    assert len(numbers) + buffer.stats.dropped == 3000
    assert len(numbers) >= share * 3000
    assert max(delay for _, delay in delays(heard, arrivals)) <= LONGEST_DELAY + ROUNDING


@pytest.mark.parametrize("spread", [0.01, 0.04, 0.08])
def test_the_delay_shrinks_after_the_end_of_jitter(spread: float) -> None:
    rough = shaken(steady(1000), spread, 4)
    calm_from = 1000 + math.ceil(2 * spread / PERIOD)
    calm = [START + 0.01 + number * PERIOD for number in range(calm_from, calm_from + 3000)]
    arrivals = rough + calm
    heard = play(linear(), arriving(arrivals), calm[-1])
    late = [delay for at, delay in delays(heard, arrivals) if at > calm[0] + 40]
    assert len(late) > 900
    assert max(late) <= PERIOD + SLACK + ROUNDING


def test_a_burst_after_a_long_stall_keeps_the_newest_frames_and_counts_the_others() -> None:
    sent = steady(200)
    arrivals = sent[:50] + [max(at, sent[80]) for at in sent[50:]]
    buffer = linear()
    heard = play(buffer, arriving(arrivals), START + 5)
    numbers = [number for _, number in voices(heard)]
    assert numbers[:50] == list(range(50))
    assert numbers[-100:] == list(range(100, 200))
    assert buffer.stats.dropped == 200 - len(numbers) >= 24
    assert max(delay for _, delay in delays(heard, arrivals)) <= ORDINARY_DELAY + ROUNDING
    assert buffer.stats.gaps == 2  # the stall, and the end


def test_the_first_frame_after_a_drop_is_spliced_to_the_due_one() -> None:
    buffer = linear()
    buffer.push(numbered(0), START)
    assert take(buffer, START + 0.01) is not None
    for number in range(1, PACED_CAPACITY + 4):
        buffer.push(numbered(number), START + 0.02)
    assert buffer.stats.dropped == 3
    assert buffer.depth == pytest.approx(ORDINARY_DELAY)
    assert take(buffer, START + 0.03) == Frame(numbered(4), Effect.SPLICE, numbered(1))
    assert take(buffer, START + 0.05) == Frame(numbered(5), Effect.PLAIN)


def calm_before_drops(gaps: int) -> list[int]:
    """Return the number of frames before each drop, for a peer that is 60 ms ahead after gaps."""
    buffer = linear()
    at = START
    for _ in range(gaps):
        buffer.push(numbered(0), at)
        take(buffer, at + 0.01)
        take(buffer, at + 0.03)
        at += 1.0
    for number in range(3):
        buffer.push(numbered(number), at)
    calm: list[int] = []
    taken = 0
    for number in range(3, 3 * LONGEST_WINDOW):
        at += PERIOD
        buffer.push(numbered(number), at)
        take(buffer, at + 0.01)
        taken += 1
        if buffer.stats.dropped > len(calm):
            calm.append(taken)
            taken = 0
    return calm


def test_each_gap_doubles_the_calm_window() -> None:
    needed = [calm_before_drops(gaps)[0] for gaps in range(7)]
    assert needed == [WINDOW, 100, 200, *[LONGEST_WINDOW] * 4]


def test_each_calm_window_halves_the_next_one() -> None:
    assert calm_before_drops(4) == [LONGEST_WINDOW, 200, 100]
    assert calm_before_drops(0) == [WINDOW] * 3


@pytest.mark.parametrize("paced", [True, False])
@pytest.mark.parametrize("ppm", [-200, 200])
def test_ten_minutes_of_clock_difference_neither_accumulate_nor_tear_audio(
    ppm: int, paced: bool
) -> None:
    """All audio is quiet, because only quiet frames of an unpaced peer are cut."""
    period = PERIOD * (1 + ppm / 1e6)
    sent = steady(30_000, period=period)
    quiet = [
        Arrival(at, struct.pack("<HH", number % 200, number // 200) * 80)
        for number, at in enumerate(sent)
    ]
    buffer = linear(paced=paced)
    deepest = 0.0
    place = 0
    for number in range(round(30_000 * period / PERIOD)):
        tick = START + number * PERIOD
        while place < len(quiet) and quiet[place].at <= tick:
            buffer.push(quiet[place].payload, quiet[place].at)
            place += 1
        take(buffer, tick)
        deepest = max(deepest, buffer.depth)
    # 600 s at 200 ppm are 120 ms: six frames too many or too few.
    assert deepest <= 3 * PERIOD
    assert buffer.stats.dropped + buffer.stats.gaps <= 14
    assert (buffer.stats.dropped if ppm < 0 else buffer.stats.gaps) >= 3


def counted(numbers: Iterable[int], first: float = 0.01) -> list[Arrival]:
    """Return numbered frames in order of arrival, one every 20 ms."""
    return [
        Arrival(START + first + place * PERIOD, numbered(number), number)
        for place, number in enumerate(numbers)
    ]


def test_frames_that_arrive_together_out_of_order_are_reordered() -> None:
    buffer = linear()
    arrivals = [
        Arrival(START + 0.01 + (number // 4) * 4 * PERIOD, numbered(number), number)
        for block in range(0, 80, 4)
        for number in (block + 2, block, block + 3, block + 1)
    ]
    heard = play(buffer, arrivals, START + 3)
    assert [number for _, number in voices(heard)] == list(range(80))
    assert (buffer.chunks.late, buffer.chunks.lost) == (0, 0)


def test_a_frame_overtaken_by_one_is_awaited() -> None:
    order = list(range(100))
    for place in range(10, 100, 20):
        order[place], order[place + 1] = order[place + 1], order[place]
    buffer = linear()
    heard = play(buffer, counted(order), START + 3)
    assert [number for _, number in voices(heard)] == list(range(100))
    assert (buffer.chunks.late, buffer.chunks.lost) == (0, 0)
    assert buffer.stats.gaps == 2  # the first time, and at the end


def test_a_lost_frame_costs_only_its_own_time() -> None:
    numbers = [number for number in range(100) if number not in (30, 60, 61)]
    arrivals = [
        Arrival(START + 0.01 + number * PERIOD, numbered(number), number) for number in numbers
    ]
    buffer = linear()
    heard = play(buffer, arrivals, START + 3)
    assert [number for _, number in voices(heard)] == numbers
    assert buffer.chunks.lost == 3
    assert buffer.stats.dropped == 0
    assert max(delay for _, delay in delays(heard, steady(100))) <= 2 * PERIOD + SLACK + ROUNDING


def test_duplicates_and_late_frames_are_counted_and_not_heard_twice() -> None:
    buffer = linear()
    arrivals = [*counted(range(50)), *counted(range(50), first=0.012), *counted([3], first=0.8)]
    heard = play(buffer, arrivals, START + 2)
    assert [number for _, number in voices(heard)] == list(range(50))
    assert buffer.chunks.late == 51
    assert buffer.chunks.lost == 0


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 80)), max_size=120))
def test_shuffled_frames_are_heard_once_and_in_order(
    shuffled: list[tuple[int, int]],
) -> None:
    buffer = linear()
    arrivals = [Arrival(START + at / 50 + 0.01, numbered(order), order) for order, at in shuffled]
    heard = play(buffer, arrivals, START + 3)
    numbers = [number for _, number in voices(heard)]
    assert numbers == sorted(set(numbers))
    assert len(numbers) + buffer.chunks.late + buffer.stats.dropped == len(shuffled)


def test_a_mark_is_reached_after_the_audio_before_it() -> None:
    buffer = linear(paced=False)
    for number in range(4):
        buffer.push(numbered(number), START)
        buffer.mark(f"after {number}")
    reached = []
    for tick in range(6):
        take(buffer, START + 0.01 + tick * PERIOD)
        reached.append(buffer.reached())
    assert reached == [["after 0"], ["after 1"], ["after 2"], ["after 3"], [], []]


def test_a_mark_inside_a_frame_waits_for_its_end() -> None:
    buffer = linear(paced=False)
    buffer.push(numbered(0) + numbered(1)[:100], START)
    buffer.mark("middle")
    take(buffer, START + 0.01)
    assert buffer.reached() == []
    take(buffer, START + 0.03)
    assert buffer.reached() == []
    take(buffer, START + STALE + ROUNDING)
    assert buffer.reached() == ["middle"]


def test_marks_at_one_position_are_reported_once_and_in_order() -> None:
    buffer = linear(paced=False)
    for name in ("a", "b", "a"):
        buffer.mark(name)
    assert buffer.reached() == ["a", "b", "a"]
    assert buffer.reached() == []


def test_a_mark_without_audio_before_it_is_reached_at_once() -> None:
    buffer = linear(paced=False)
    buffer.mark("now")
    assert buffer.reached() == ["now"]


def test_marks_in_cleared_audio_are_reached() -> None:
    buffer = linear(paced=False)
    for number in range(3):
        buffer.push(numbered(number), START)
        buffer.mark(f"after {number}")
    buffer.clear()
    assert buffer.reached() == ["after 0", "after 1", "after 2"]
    assert buffer.depth == 0


def test_marks_in_dropped_audio_are_reached() -> None:
    buffer = linear()
    buffer.push(numbered(0), START)
    buffer.mark("dropped")
    for number in range(1, PACED_CAPACITY + 1):
        buffer.push(numbered(number), START)
    assert buffer.reached() == ["dropped"]


def test_the_number_of_marks_is_limited() -> None:
    buffer = linear(paced=False)
    buffer.push(numbered(0), START)
    for number in range(MAX_MARKS):
        buffer.mark(str(number))
    with pytest.raises(RemoteError) as refused:
        buffer.mark("one more")
    assert refused.value.close_code == 1008
    take(buffer, START + 0.01)
    assert len(buffer.reached()) == MAX_MARKS


def test_only_audio_after_a_clear_is_heard() -> None:
    buffer = linear(paced=False)
    for number in range(100):
        buffer.push(numbered(number), START)
    assert take(buffer, START + 0.01) == Frame(numbered(0), Effect.RESUME)
    buffer.clear()
    assert take(buffer, START + 0.03) == Frame(numbered(0), Effect.CONCEAL)
    assert take(buffer, START + 0.05) is None
    buffer.push(numbered(500), START + 0.06)
    assert take(buffer, START + 0.07) == Frame(numbered(500), Effect.RESUME)


def test_audio_right_after_a_clear_is_spliced_to_the_cleared_audio() -> None:
    buffer = linear(paced=False)
    for number in range(100):
        buffer.push(numbered(number), START)
    take(buffer, START + 0.01)
    buffer.clear()
    buffer.push(numbered(500), START + 0.02)
    assert take(buffer, START + 0.03) == Frame(numbered(500), Effect.SPLICE, numbered(1))
    assert take(buffer, START + 0.05) == Frame(numbered(500), Effect.CONCEAL)


def test_a_burst_of_two_seconds_is_played_completely() -> None:
    buffer = linear(paced=False)
    heard = play(buffer, [Arrival(START, numbered(number)) for number in range(100)], START + 3)
    assert [number for _, number in voices(heard)] == list(range(100))
    assert buffer.stats.dropped == 0


def test_two_seconds_in_one_message_are_played_completely() -> None:
    buffer = linear(paced=False)
    speech = b"".join(numbered(number) for number in range(100))
    heard = play(buffer, [Arrival(START, speech)], START + 3)
    assert [number for _, number in voices(heard)] == list(range(100))


def test_silence_in_a_burst_is_not_cut_out() -> None:
    buffer = linear(paced=False)
    for _ in range(250):
        buffer.push(bytes(FRAME_BYTES), START)
    heard = play(buffer, [], START + 6)
    assert buffer.stats.taken == 250
    assert effects(heard).count(Effect.SPLICE) == 0


def test_a_minute_is_kept_and_older_audio_is_dropped() -> None:
    buffer = linear(paced=False)
    for number in range(BURST_CAPACITY + 10):
        buffer.push(numbered(number), START)
    assert buffer.depth == pytest.approx(60)
    assert buffer.stats.dropped == 10
    assert take(buffer, START + 0.01) == Frame(numbered(10), Effect.RESUME, numbered(0))


LOUD = struct.pack("<hh", 3000, -3000) * 80
QUIET = struct.pack("<hh", 100, -100) * 80


def live(seconds: float, pause_every: int | None) -> list[Arrival]:
    """Return a microphone's frames with a second of backlog and occasional quiet frames."""
    backlog = [Arrival(START, LOUD)] * 100
    frames = [
        Arrival(at, QUIET if pause_every and number % pause_every == 0 else LOUD)
        for number, at in enumerate(steady(round(seconds / PERIOD)))
    ]
    return backlog + frames


def test_the_backlog_of_a_live_peer_is_cut_only_in_quiet_frames() -> None:
    buffer = linear(paced=False)
    heard = play(buffer, live(40, pause_every=5), START + 40)
    assert buffer.depth <= 2 * PERIOD
    assert buffer.stats.dropped >= 98
    loud = [frame for _, frame in heard if frame and frame.payload == LOUD]
    assert len(loud) == pytest.approx(100 + 0.8 * 2000, abs=3)
    spliced = [frame.spliced for _, frame in heard if frame and frame.effect is Effect.SPLICE]
    assert len(spliced) == buffer.stats.dropped
    assert set(spliced) == {QUIET}


def test_the_backlog_of_a_live_peer_without_pauses_is_not_cut() -> None:
    buffer = linear(paced=False)
    play(buffer, live(20, pause_every=None), START + 20)
    assert buffer.stats.dropped == 0
    assert buffer.depth == pytest.approx(2.0, abs=2 * PERIOD)


def test_audio_after_a_clear_is_not_cut_for_the_backlog_before_it() -> None:
    buffer = linear(paced=False)
    play(buffer, live(20, pause_every=None), START + 20)
    buffer.clear()
    heard = play(buffer, [Arrival(START, QUIET)] * 30, START + 1)
    assert effects(heard).count(Effect.PLAIN) == 29
    assert buffer.stats.dropped == 0


def test_the_backlog_of_a_paced_peer_is_cut_at_once() -> None:
    buffer = linear()
    for number in range(100):
        buffer.push(numbered(number), START)
    assert buffer.depth == pytest.approx(ORDINARY_DELAY)
    assert buffer.stats.dropped == 100 - PACED_CAPACITY


def test_a_paced_peer_with_chunks_longer_than_the_buffer_loses_nothing() -> None:
    chunk = b"".join(numbered(number) for number in range(10))
    buffer = JitterBuffer(Encoding.LINEAR, paced=True)
    heard = []
    for turn in range(100):
        if turn % 10 == 0:
            buffer.push(chunk, START + turn * PERIOD)
        frame = take(buffer, START + turn * PERIOD + SLACK)
        heard.append(frame.payload if frame else b"")
    assert b"".join(heard) == chunk * 10
    assert buffer.stats.dropped == 0
