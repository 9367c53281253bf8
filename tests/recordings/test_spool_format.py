"""Spools: what is written is read, and damage ends a spool at its last whole record."""

from __future__ import annotations

from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.wire import Encoding
from service.media.rooms.tap import BLOCK_TICKS
from service.recordings import spool_format
from service.recordings.spool_format import HEADER, MAX_TICKS, Record, frame_bytes, packed


def whole(data: bytes) -> list[Record]:
    return [record for record, _ in spool_format.read(BytesIO(data))]


@st.composite
def some_records(draw: st.DrawFn) -> list[Record]:
    records, tick = [], draw(st.integers(0, 2**40))
    for _ in range(draw(st.integers(0, 5))):
        encoding, ticks = draw(st.sampled_from(Encoding)), draw(st.integers(1, MAX_TICKS))
        tick += draw(st.integers(0, 200))
        fill = draw(st.binary(min_size=1, max_size=8))
        size = ticks * frame_bytes(encoding)
        records.append(Record(tick, encoding, (fill * size)[:size]))
        tick += ticks
    return records


@given(some_records())
def test_what_is_written_is_read(records: list[Record]) -> None:
    data = HEADER + b"".join(map(packed, records))
    assert whole(data) == records
    positions = [position for _, position in spool_format.read(BytesIO(data))]
    assert (positions or [len(HEADER)])[-1] == len(data)


def test_a_block_of_the_tap_is_one_record() -> None:
    assert BLOCK_TICKS <= MAX_TICKS


RECORDS = [
    Record(5, Encoding.MULAW, bytes(range(160)) * 2),
    Record(7, Encoding.LINEAR, b"\1\2" * 160),
    Record(90, Encoding.ALAW, b"\x55" * 160),
]
FILE = HEADER + b"".join(map(packed, RECORDS))
ENDS = [position for _, position in spool_format.read(BytesIO(FILE))]


def test_a_spool_torn_at_any_byte_is_read_up_to_its_last_whole_record() -> None:
    for size in range(len(FILE) + 1):
        assert whole(FILE[:size]) == RECORDS[: sum(end <= size for end in ENDS)]


def test_a_changed_byte_ends_the_spool_before_its_record() -> None:
    for at in range(len(FILE)):
        damaged = bytearray(FILE)
        damaged[at] ^= 0x11
        before = 0 if at < len(HEADER) else sum(end <= at for end in ENDS)
        assert whole(bytes(damaged)) == RECORDS[:before]


@given(st.binary(max_size=600))
def test_any_bytes_after_the_records_are_no_record(rest: bytes) -> None:
    assert whole(FILE + rest) == RECORDS


@pytest.mark.parametrize("size", [0, 159, 161, 160 * (MAX_TICKS + 1)])
def test_a_record_has_whole_frames_of_at_most_a_second(size: int) -> None:
    with pytest.raises(ValueError, match="no whole frames"):
        packed(Record(1, Encoding.MULAW, bytes(size)))
