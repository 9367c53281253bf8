"""The chunk queue of the jitter buffer: it returns the same bytes in order for any chunking."""

from __future__ import annotations

import random
from collections.abc import Iterable
from itertools import chain, cycle, islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.media.jitter import refusals
from service.media.jitter.chunk_queue import MAX_JUMP, PROOF, ChunkQueue


def queue_of(*chunks: tuple[int | None, bytes]) -> ChunkQueue:
    """Return a queue of chunks with these numbers, one millisecond apart."""
    queue = ChunkQueue()
    for place, (order, payload) in enumerate(chunks):
        queue.push(payload, place / 1000, order)
    return queue


def rest(queue: ChunkQueue) -> bytes:
    return queue.take(queue.size) if queue.size else b""


def test_chunks_can_be_taken_whole_split_and_joined() -> None:
    queue = queue_of((None, b"abc"), (None, b"defgh"), (None, b"ij"))
    assert queue.size == 10
    assert queue.take(3) == b"abc"
    assert queue.take(2) == b"de"
    assert queue.take(4) == b"fghi"
    assert queue.take(1) == b"j"
    assert (queue.size, queue.passed) == (0, 10)


@given(
    st.lists(st.binary(min_size=1, max_size=40), max_size=30),
    st.lists(st.integers(1, 50), max_size=60),
)
def test_any_chunking_keeps_every_byte_in_order(chunks: list[bytes], sizes: list[int]) -> None:
    queue = ChunkQueue()
    waiting = list(chunks)
    taken = b""
    for size in sizes:
        while waiting and queue.size < size:
            queue.push(waiting.pop(0), 0.0, None)
        if queue.size >= size:
            taken += queue.take(size)
    for chunk in waiting:
        queue.push(chunk, 0.0, None)
    assert taken + rest(queue) == b"".join(chunks)
    assert queue.passed == len(b"".join(chunks))


def test_peek_returns_the_next_bytes_without_taking_them() -> None:
    queue = queue_of((None, b"abcd"), (None, b"ef"))
    queue.take(1)
    assert queue.peek(2) == b"bc"
    assert queue.peek(5) == b"bcd"
    assert queue.take(5) == b"bcdef"


def test_arrived_is_the_time_of_the_last_byte_of_a_frame() -> None:
    queue = queue_of((None, b"abcd"), (None, b"ef"), (None, b"gh"))
    assert [queue.arrived(count) for count in (1, 4, 5, 6, 7, 8)] == [
        0,
        0,
        0.001,
        0.001,
        0.002,
        0.002,
    ]
    queue.take(3)
    assert [queue.arrived(count) for count in (1, 2, 3, 4, 5)] == [0, 0.001, 0.001, 0.002, 0.002]
    assert queue.last_arrived() == 0.002


def test_arrived_refuses_more_than_there_is() -> None:
    with pytest.raises(IndexError):
        queue_of((None, b"abcd")).arrived(5)


def test_silence_lengthens_the_last_chunk() -> None:
    queue = queue_of((None, b"ab"), (None, b"c"))
    queue.take(1)
    queue.fill(b"__")
    assert queue.size == 4
    assert queue.arrived(4) == 0.001
    assert queue.take(4) == b"bc__"


def test_cleared_bytes_count_as_passed() -> None:
    queue = queue_of((None, b"abcd"), (None, b"ef"))
    queue.take(1)
    queue.clear()
    assert (queue.size, queue.passed) == (0, 6)
    queue.push(b"gh", 1.0, None)
    assert queue.take(2) == b"gh"


@given(st.permutations(range(1, 9)))
def test_waiting_chunks_are_taken_in_order(order: list[int]) -> None:
    queue = queue_of(*((number, b"%d" % number) for number in order))
    assert rest(queue) == b"12345678"
    assert (queue.late, queue.lost) == (0, 0)


def test_a_duplicate_chunk_is_kept_once() -> None:
    queue = queue_of((1, b"a"), (2, b"b"), (2, b"B"), (3, b"c"), (1, b"A"), (2, b"B"))
    assert queue.late == 3
    assert rest(queue) == b"abc"


def test_a_late_chunk_is_refused() -> None:
    queue = queue_of((1, b"a"), (3, b"c"))
    assert queue.take(2) == b"ac"
    assert not queue.push(b"b", 0.5, 2)
    assert not queue.push(b"c", 0.5, 3)
    assert queue.push(b"d", 0.5, 4)
    assert (queue.late, queue.lost, queue.size) == (2, 1, 1)


def test_a_chunk_cannot_precede_one_that_is_partly_taken() -> None:
    queue = queue_of((1, b"ab"), (3, b"cd"))
    assert queue.take(3) == b"abc"
    assert not queue.push(b"x", 0.5, 2)
    assert not queue.push(b"y", 0.5, 3)
    assert queue.take(1) == b"d"
    assert queue.late == 2


def test_lost_counts_every_missing_chunk() -> None:
    queue = queue_of((5, b"a"), (6, b"b"), (9, b"c"), (10, b"d"), (20, b"e"))
    assert rest(queue) == b"abcde"
    assert queue.lost == 2 + 9


def test_chunks_without_numbers_are_never_late() -> None:
    queue = queue_of(*((None, b"x") for _ in range(20)))
    rest(queue)
    assert (queue.late, queue.lost) == (0, 0)
    assert not queue_of((None, b"x")).overtaken()


def test_a_chunk_that_has_overtaken_a_missing_one_is_detected() -> None:
    queue = queue_of((1, b"a"), (2, b"b"), (4, b"d"))
    queue.take(1)
    assert not queue.overtaken()
    queue.take(1)
    assert queue.overtaken()
    queue.push(b"c", 0.5, 3)
    assert not queue.overtaken()
    assert queue.take(2) == b"cd"


def test_a_partly_taken_chunk_is_not_awaited() -> None:
    queue = queue_of((1, b"a"), (2, b"b"), (4, b"ddd"))
    queue.take(2)
    assert queue.overtaken()
    queue.take(1)
    assert not queue.overtaken()


def test_nothing_is_overtaken_if_numbers_have_larger_steps() -> None:
    """Some streams number chunks by samples or milliseconds."""
    queue = queue_of((160, b"a"), (320, b"b"), (480, b"c"))
    queue.take(2)
    assert not queue.overtaken()


@pytest.mark.parametrize("jump", [2**63, 3_000, 1])
def test_a_peer_that_restarts_its_numbering_is_still_heard(jump: int) -> None:
    queue = queue_of((2_000, b"a"), (2_001, b"b"))
    rest(queue)
    for order in range(jump, jump + 3):
        assert queue.push(b"c", 0.0, order)
    assert rest(queue) == b"ccc"
    assert (queue.lost, queue.late) == (0, 0)


def played(orders: Iterable[int | None]) -> tuple[ChunkQueue, list[int]]:
    """Return which chunks are heard, if they are 20 ms apart and taken one tick later."""
    queue, heard = ChunkQueue(), []
    for place, order in enumerate(orders):
        queue.push(place.to_bytes(3), place / 50, order)
        if queue.size > 3:
            heard.append(int.from_bytes(queue.take(3)))
    while queue.size:
        heard.append(int.from_bytes(queue.take(3)))
    return queue, heard


FEW = refusals.MOST - 1
"""Chunks that are lost when numbering restarts close to its previous value."""

COUNTS: dict[str, tuple[Iterable[int | None], int, int]] = {
    "begins anew soon": (chain(range(1, 200), range(1, 300)), FEW, 1),
    "begins anew at nought": (chain(range(1, 200), range(300)), FEW, 1),
    "begins anew after long": (chain(range(1, 2000), range(1, 300)), 0, 1),
    "begins anew every second": (islice(cycle(range(1, 51)), 1000), 2 * FEW, 2),
    "wraps around": (chain(range(65_000, 65_536), range(300)), 0, 1),
    "wraps around within a signed number": (
        chain(range(2**31 - 300, 2**31), (None,) * 300, range(300)),
        0,
        1,
    ),
    "jumps ahead": (chain(range(1, 200), range(10**17, 10**17 + 300)), 0, 1),
    "jumps ahead by a little": (chain(range(1, 200), range(600, 900)), 0, 0),
    "jumps ahead once": (chain(range(1, 200), (10**17,), range(201, 500)), 0, 2),
    "stands still from the start": ((1,) * 500, 2 * FEW, 2),
    "stands still": (chain(range(1, 200), (199,) * 500), 2 * FEW + 1, 2),
    "stands still and goes on": (chain((7,) * 200, range(8, 300)), 2 * FEW, 2),
    "goes round in small steps": (islice(cycle(range(8)), 500), 2 * FEW, 2),
    "counts samples": (range(0, 160 * 500, 160), 0, 0),
    "counts milliseconds far apart": (range(0, 1000 * 500, 1000), 0, 2),
}


@pytest.mark.parametrize(("orders", "missed", "renumbered"), COUNTS.values(), ids=COUNTS)
def test_any_numbering_leaves_a_peer_audible(
    orders: Iterable[int | None], missed: int, renumbered: int
) -> None:
    orders = list(orders)
    queue, heard = played(orders)
    assert heard == sorted(heard)
    assert len(heard) >= len(orders) - missed
    assert queue.late == len(orders) - len(heard)
    assert queue.renumbered == renumbered


@pytest.mark.parametrize("step", [-1, -3])
def test_a_descending_numbering_is_ignored_after_a_while(step: int) -> None:
    queue, heard = played(range(2000, 500, step))
    assert heard[-100:] == list(range(heard[-1] - 99, heard[-1] + 1))
    assert queue.late <= 2 * (refusals.SECONDS * 50 + 1)


def test_a_random_numbering_is_ignored_after_a_while() -> None:
    numbers = random.Random(7)
    queue, heard = played(numbers.randrange(10**12) for _ in range(1500))
    assert heard[-1000:] == list(range(500, 1500))
    assert queue.renumbered == 2


def test_repeated_duplicate_or_late_chunks_are_no_new_numbering() -> None:
    queue = queue_of(*((number, b"%d" % number) for number in range(100)))
    rest(queue)
    for number in (50, 50, 50, 50, 50, 50, 50, 9, 7, 5, 3, 60, 61, 62, 63):
        assert not queue.push(b"%d" % number, 1.0, number)
    assert queue.push(b"100", 1.0, 100)
    assert (queue.renumbered, queue.late) == (0, 15)


def test_an_ignored_numbering_is_used_again_when_it_ascends() -> None:
    queue, _ = played(chain((7,) * 200, range(8, 8 + 2 * PROOF)))
    first, second, third = (8 + 2 * PROOF + ahead for ahead in range(3))
    for number in (first, third, second):
        assert queue.push(b"%03d" % number, 20.0, number)
    assert rest(queue) == b"%03d%03d%03d" % (first, second, third)
    assert not queue.push(b"x", 20.0, second)


def test_audio_of_the_old_numbering_is_played_before_the_new_one() -> None:
    queue = queue_of((MAX_JUMP + 10, b"a"))
    queue.take(1)
    for order, payload in ((MAX_JUMP + 11, b"b"), (MAX_JUMP + 12, b"c"), (1, b"d"), (2, b"e")):
        assert queue.push(payload, 0.0, order)
    assert rest(queue) == b"bcde"
    assert (queue.lost, queue.late) == (0, 0)
