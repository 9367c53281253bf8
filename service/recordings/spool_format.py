"""Format of a spool: the audio of one track as records, each with its tick, in order of time.

A spool is only appended to. Each record has a checksum, so that the spool of a killed process can
be read up to its last whole record. This module opens nothing: a reader is given a binary file.

    spool  := header record*
    header := b"PBSPOOL1"
    record := mark, encoding, reserved, ticks, tick, checksum: little endian, 20 bytes; payload

The payload has ``ticks`` frames in the record's encoding. ``tick`` is the number of the first one
in periods since the epoch, and the checksum is a CRC-32 of everything else.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

from service.domain.wire import FRAME_SAMPLES, Encoding

HEADER = b"PBSPOOL1"

MAX_TICKS = 50
"""Ticks in a record: one second. A larger number is damage."""

_MARK = 0x5342
_RECORD = struct.Struct("<HBBIQI")
_CODES = {Encoding.MULAW: 1, Encoding.ALAW: 2, Encoding.LINEAR: 3}
_ENCODINGS = {code: encoding for encoding, code in _CODES.items()}


@dataclass(frozen=True, slots=True)
class Record:
    """Encoded frames of consecutive ticks, the first of which is ``tick``."""

    tick: int
    encoding: Encoding
    payload: bytes = field(repr=False)

    @property
    def ticks(self) -> int:
        return len(self.payload) // frame_bytes(self.encoding)

    @property
    def end(self) -> int:
        """The tick after the last one."""
        return self.tick + self.ticks


def frame_bytes(encoding: Encoding) -> int:
    return FRAME_SAMPLES * encoding.bytes_per_sample


def packed(record: Record) -> bytes:
    """Return a record as bytes. It has whole frames, at least one and at most ``MAX_TICKS``."""
    ticks, rest = divmod(len(record.payload), frame_bytes(record.encoding))
    if rest or not 0 < ticks <= MAX_TICKS:
        raise ValueError(f"A record of {len(record.payload)} bytes has no whole frames.")
    code = _CODES[record.encoding]
    unsigned = _RECORD.pack(_MARK, code, 0, ticks, record.tick, 0)
    checksum = zlib.crc32(record.payload, zlib.crc32(unsigned))
    return _RECORD.pack(_MARK, code, 0, ticks, record.tick, checksum) + record.payload


def read(file: BinaryIO) -> Iterator[tuple[Record, int]]:
    """Yield the whole records from the beginning of a spool, each with the position after it.

    Stops at the first byte that is missing or damaged.
    """
    position = len(HEADER)
    if file.read(position) != HEADER:
        return
    while (record := _read_one(file)) is not None:
        position += _RECORD.size + len(record.payload)
        yield record, position


def _read_one(file: BinaryIO) -> Record | None:
    head = file.read(_RECORD.size)
    if len(head) < _RECORD.size:
        return None
    mark, code, reserved, ticks, tick, checksum = _RECORD.unpack(head)
    encoding = _ENCODINGS.get(code)
    if mark != _MARK or reserved or encoding is None or not 0 < ticks <= MAX_TICKS:
        return None
    payload = file.read(ticks * frame_bytes(encoding))
    if zlib.crc32(payload, zlib.crc32(_RECORD.pack(mark, code, 0, ticks, tick, 0))) != checksum:
        return None
    return Record(tick, encoding, payload)
