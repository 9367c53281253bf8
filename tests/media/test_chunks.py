"""The byte queue under the jitter buffer: any chunking in, the same bytes in order out."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.media.chunks import ChunkQueue


def queue_of(*chunks: tuple[int | None, bytes]) -> ChunkQueue:
    """A queue that was given chunks with these orders, one millisecond apart."""
    queue = ChunkQueue()
    for place, (order, payload) in enumerate(chunks):
        queue.push(payload, place / 1000, order)
    return queue


def rest(queue: ChunkQueue) -> bytes:
    return queue.take(queue.size) if queue.size else b""


def test_a_chunk_is_taken_whole_in_parts_and_together_with_others() -> None:
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
def test_no_byte_is_lost_doubled_or_moved_by_any_chunking(
    chunks: list[bytes], sizes: list[int]
) -> None:
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


def test_peek_shows_what_comes_next_and_takes_nothing() -> None:
    queue = queue_of((None, b"abcd"), (None, b"ef"))
    queue.take(1)
    assert queue.peek(2) == b"bc"
    assert queue.peek(5) == b"bcd"
    assert queue.take(5) == b"bcdef"


def test_arrived_is_when_the_last_byte_of_a_frame_came() -> None:
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


def test_clearing_counts_what_it_drops_as_passed() -> None:
    queue = queue_of((None, b"abcd"), (None, b"ef"))
    queue.take(1)
    queue.clear()
    assert (queue.size, queue.passed) == (0, 6)
    queue.push(b"gh", 1.0, None)
    assert queue.take(2) == b"gh"


@given(st.permutations(range(1, 9)))
def test_chunks_that_wait_together_leave_in_their_order(order: list[int]) -> None:
    queue = queue_of(*((number, b"%d" % number) for number in order))
    assert rest(queue) == b"12345678"
    assert (queue.late, queue.lost) == (0, 0)


def test_a_chunk_that_comes_twice_is_kept_once() -> None:
    queue = queue_of((1, b"a"), (2, b"b"), (2, b"B"), (3, b"c"), (1, b"A"), (2, b"B"))
    assert queue.late == 3
    assert rest(queue) == b"abc"


def test_a_chunk_whose_turn_is_over_is_refused() -> None:
    queue = queue_of((1, b"a"), (3, b"c"))
    assert queue.take(2) == b"ac"
    assert not queue.push(b"b", 0.5, 2)
    assert not queue.push(b"c", 0.5, 3)
    assert queue.push(b"d", 0.5, 4)
    assert (queue.late, queue.lost, queue.size) == (2, 1, 1)


def test_a_chunk_cannot_come_before_one_that_has_begun() -> None:
    queue = queue_of((1, b"ab"), (3, b"cd"))
    assert queue.take(3) == b"abc"
    assert not queue.push(b"x", 0.5, 2)
    assert not queue.push(b"y", 0.5, 3)
    assert queue.take(1) == b"d"
    assert queue.late == 2


def test_lost_counts_every_chunk_that_never_came() -> None:
    queue = queue_of((5, b"a"), (6, b"b"), (9, b"c"), (10, b"d"), (20, b"e"))
    assert rest(queue) == b"abcde"
    assert queue.lost == 2 + 9


def test_a_peer_that_does_not_count_is_never_late() -> None:
    queue = queue_of(*((None, b"x") for _ in range(20)))
    rest(queue)
    assert (queue.late, queue.lost) == (0, 0)
    assert not queue_of((None, b"x")).overtaken()


def test_a_chunk_is_seen_to_have_overtaken_a_missing_one() -> None:
    queue = queue_of((1, b"a"), (2, b"b"), (4, b"d"))
    queue.take(1)
    assert not queue.overtaken()
    queue.take(1)
    assert queue.overtaken()
    queue.push(b"c", 0.5, 3)
    assert not queue.overtaken()
    assert queue.take(2) == b"cd"


def test_a_chunk_that_has_begun_is_no_longer_waited_for() -> None:
    queue = queue_of((1, b"a"), (2, b"b"), (4, b"ddd"))
    queue.take(2)
    assert queue.overtaken()
    queue.take(1)
    assert not queue.overtaken()


def test_nothing_is_overtaken_where_the_peer_counts_in_larger_steps() -> None:
    """Some streams count samples or milliseconds."""
    queue = queue_of((160, b"a"), (320, b"b"), (480, b"c"))
    queue.take(2)
    assert not queue.overtaken()


@pytest.mark.parametrize("jump", [2**63, 3_000, 1])
def test_a_peer_that_begins_to_count_anew_is_still_heard(jump: int) -> None:
    queue = queue_of((2_000, b"a"), (2_001, b"b"))
    rest(queue)
    for order in range(jump, jump + 3):
        assert queue.push(b"c", 0.0, order)
    assert rest(queue) == b"ccc"
    assert (queue.lost, queue.late) == (0, 0)
