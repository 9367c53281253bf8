"""The send queue of a socket: complete frames in order; only old audio is dropped."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from service.media.transport.send_queue import MAX_AUDIO, MAX_BYTES, SendQueue


def drain(queue: SendQueue, step: int = 1_000_000) -> bytes:
    """Write the whole queue, ``step`` bytes at a time, and return the bytes."""
    written = b""
    while queue:
        head = bytes(queue.head()[:step])
        queue.wrote(len(head))
        written += head
    return written


def audio(number: int) -> bytes:
    return b"<audio %03d>" % number


def test_a_new_queue_is_empty() -> None:
    assert not SendQueue()


def test_frames_are_written_in_order() -> None:
    queue = SendQueue()
    for data, is_audio in ((b"one", False), (b"two", True), (b"three", False)):
        assert queue.push(data, audio=is_audio)
    assert queue
    assert bytes(queue.head()) == b"one"
    assert drain(queue) == b"onetwothree"
    assert not queue


def test_a_frame_continues_after_a_partial_write() -> None:
    queue = SendQueue()
    queue.push(b"abcdef", audio=True)
    queue.wrote(2)
    assert bytes(queue.head()) == b"cdef"
    queue.wrote(0)
    assert bytes(queue.head()) == b"cdef"
    queue.wrote(4)
    assert not queue


def test_the_oldest_audio_is_dropped_and_counted() -> None:
    queue = SendQueue()
    for number in range(MAX_AUDIO + 3):
        assert queue.push(audio(number), audio=True)
    assert queue.dropped == 3
    assert drain(queue) == b"".join(audio(number) for number in range(3, MAX_AUDIO + 3))


def test_half_a_second_of_audio_is_kept() -> None:
    assert MAX_AUDIO == 25
    queue = SendQueue()
    for number in range(MAX_AUDIO):
        queue.push(audio(number), audio=True)
    assert queue.dropped == 0


def test_partly_written_audio_is_never_dropped() -> None:
    queue = SendQueue()
    queue.push(audio(0), audio=True)
    queue.wrote(1)
    for number in range(1, MAX_AUDIO + 2):
        queue.push(audio(number), audio=True)
    assert queue.dropped == 2
    kept = [0, *range(3, MAX_AUDIO + 2)]
    assert drain(queue) == b"".join(audio(number) for number in kept)[1:]


def test_other_messages_are_never_dropped() -> None:
    queue = SendQueue()
    queue.push(b"[joined]", audio=False)
    for number in range(3 * MAX_AUDIO):
        queue.push(audio(number), audio=True)
        if number % 10 == 0:
            queue.push(b"[said %02d]" % number, audio=False)
    written = drain(queue)
    assert written.startswith(b"[joined]")
    assert [int(part[:2]) for part in written.split(b"[said ")[1:]] == list(range(0, 75, 10))
    assert written.count(b"<audio") == MAX_AUDIO
    assert queue.dropped == 2 * MAX_AUDIO


def test_written_audio_makes_room_for_new_audio() -> None:
    queue = SendQueue()
    for number in range(10 * MAX_AUDIO):
        queue.push(audio(number), audio=True)
        drain(queue)
    assert queue.dropped == 0


def test_a_peer_that_leaves_too_much_unread_is_given_up() -> None:
    queue = SendQueue()
    assert queue.push(b"x" * MAX_BYTES, audio=False)
    assert queue.push(audio(0), audio=True)
    assert not queue.push(b"x", audio=False)


def test_written_data_does_not_count_towards_the_limit() -> None:
    queue = SendQueue()
    for _ in range(5):
        assert queue.push(b"x" * MAX_BYTES, audio=False)
        assert len(drain(queue, 60_000)) == MAX_BYTES


def test_audio_alone_never_reaches_the_limit() -> None:
    queue = SendQueue()
    assert all(queue.push(b"x" * 20_000, audio=True) for _ in range(100))


def test_only_audio_is_forgotten() -> None:
    queue = SendQueue()
    for data, is_audio in ((b"one", False), (b"two", True), (b"three", False), (b"four", True)):
        queue.push(data, audio=is_audio)
    queue.forget_audio()
    assert drain(queue) == b"onethree"
    assert queue.dropped == 0


def test_partly_written_audio_is_never_forgotten() -> None:
    queue = SendQueue()
    queue.push(b"abcdef", audio=True)
    queue.push(b"ghi", audio=True)
    queue.wrote(2)
    queue.forget_audio()
    queue.push(b"[clear]", audio=False)
    assert drain(queue) == b"cdef[clear]"


def test_forgotten_audio_makes_room_for_new_audio() -> None:
    queue = SendQueue()
    for _ in range(10):
        for number in range(MAX_AUDIO):
            queue.push(audio(number), audio=True)
        queue.forget_audio()
    assert not queue
    assert queue.dropped == 0


pushes = st.tuples(st.just("push"), st.booleans())
writes = st.tuples(st.just("write"), st.integers(1, 12))


@given(st.lists(st.one_of(pushes, writes), max_size=150))
def test_any_operations_write_complete_frames_in_order(
    steps: list[tuple[str, bool | int]],
) -> None:
    queue = SendQueue()
    written = b""
    pushed: list[tuple[bytes, bool]] = []
    for step, value in steps:
        if step == "push":
            frame = (b"a%04d." if value else b"t%04d.") % len(pushed)
            pushed.append((frame, bool(value)))
            queue.push(frame, audio=bool(value))
        elif queue:
            head = bytes(queue.head()[: int(value)])
            queue.wrote(len(head))
            written += head
    written += drain(queue)
    frames = [frame + b"." for frame in written.split(b".")[:-1]]
    numbers = [int(frame[1:5]) for frame in frames]
    assert numbers == sorted(set(numbers))
    missing = [is_audio for number, (_, is_audio) in enumerate(pushed) if number not in numbers]
    assert all(missing)
    assert len(missing) == queue.dropped
