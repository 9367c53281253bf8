"""Input fast path: ordinary audio messages of many sockets are decoded in one pass.

Sockets are read as data arrives, so that its time of arrival is known. The reads are kept and
decoded when a tick is due. Invariants:

1. The result for a message is that of its wire: the same payload in the same order. The wire
   provides the template, and every byte of a message is compared with it.
2. A message that does not match is returned unchanged and takes the general path, which handles
   everything, and which the tests compare this one with.
3. Data of one socket is never reordered. Its frames are kept in layers, one in each, and the layers
   are decoded in order. A frame is decoded here only if no incomplete frame precedes it.
4. Python runs a few dozen steps for a batch, and for a message only the step that keeps it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeAlias

import numpy as np
import pybase64
from numpy.typing import NDArray

from service.domain.wire import FRAME_SAMPLES, MessageTemplate
from service.media.jitter.batch import BatchJitterBuffer
from service.media.rooms.fault_log import FaultLog
from service.media.rooms.leg import Leg
from service.media.transport.connection import MediaSocket

FEW = 6
"""Number of messages of one kind and length below which arrays cost more than they save."""

HEADER = 8
"""Bytes before the payload of a masked frame with a 16-bit length: RFC 6455, 5.2."""

SHORTEST = HEADER + 126
"""Bytes of the shortest such frame."""

MASKED_16_BITS = 0xFE
"""The second byte of such a frame."""

MAX_TEMPLATES = 1024
"""Templates in the cache: one for each kind and length of message."""

Read: TypeAlias = tuple[MediaSocket, Leg, bytes, float]
"""One read of a socket, a whole frame or any other data, and its time of arrival."""

Messages: TypeAlias = NDArray[np.uint8]
"""A row for each message."""

_ALLOWED: NDArray[np.bool_] = np.array(
    [
        # A digit; the first digit of a bare number; a character of a string without escapes.
        *(chr(code) in "0123456789" for code in range(256)),
        *(chr(code) in "123456789" for code in range(256)),
        *(0x20 <= code < 0x7F and chr(code) not in '"\\' for code in range(256)),
    ]
)
_DIGIT, _FIRST, _TEXT = 0, 256, 512


class BatchReceiver:
    """Keeps reads, sorted by kind and length, until they are taken."""

    def __init__(self, buffers: BatchJitterBuffer, faults: FaultLog | None = None) -> None:
        self._buffers = buffers
        self._faults = faults or FaultLog()
        self._layers: list[defaultdict[int, list[Read]]] = []
        self._templates: dict[int, Template] = {}
        self._spans: dict[float, tuple[float, float]] = {}

    def allow(self, at: float, earliest: float, latest: float) -> None:
        """Say that reads kept with the time ``at`` arrived between these times."""
        self._spans[at] = earliest, latest

    def keep(self, media_socket: MediaSocket, leg: Leg, data: bytes, at: float) -> bool:
        """Keep a read. Returns false if it must take the general path at once."""
        kind, size = leg.kind, len(data)
        if not media_socket.kept and not (
            kind
            and size >= SHORTEST
            and media_socket.connection.at_rest
            and media_socket.closing is None
        ):
            return False
        # Most reads are one frame, like the one before. After a stall they are many.
        for frame in (data,) if size == leg.frame_size else _frames(data, leg):
            if media_socket.kept == len(self._layers):
                self._layers.append(defaultdict(list))
            # 16 bits are more than a read can have.
            self._layers[media_socket.kept][kind << 16 | len(frame)].append(
                (media_socket, leg, frame, at)
            )
            media_socket.kept += 1
        return True

    def take(self) -> Iterator[Read]:
        """Put the audio of the kept reads into buffers; yield those for the general path."""
        layers, self._layers = self._layers, []
        spans, self._spans = self._spans, {}
        earliest = {latest: since for since, latest in spans.values()}
        for number, layer in enumerate(layers):
            for key, kept in layer.items():
                for media_socket, _, _, _ in kept:
                    media_socket.kept = 0
                batch = kept if not spans else [_until(read, spans) for read in kept]
                ready: Sequence[Read] = batch
                if number:
                    # An incomplete frame may precede it.
                    ready = [read for read in batch if read[0].connection.at_rest]
                    yield from (read for read in batch if not read[0].connection.at_rest)
                try:
                    template = self._template(key, ready[0]) if len(ready) >= FEW else None
                    others = (
                        ready if template is None else template.take(ready, self._buffers, earliest)
                    )
                except Exception:
                    # The general path handles them one by one, and isolates the failure.
                    self._faults.note("a batch of audio failed")
                    others = ready
                yield from others

    def _template(self, key: int, example: Read) -> Template | None:
        template = self._templates.get(key)
        if template is None:
            media_socket, leg, data, _ = example
            message = media_socket.connection.sole_text(data)
            shape = leg.wire.template(message) if message is not None else None
            # Without a template, the next read of this length may have one.
            if shape is not None:
                if len(self._templates) >= MAX_TEMPLATES:
                    self._templates.clear()
                template = self._templates[key] = Template(shape)
        return template


def _until(read: Read, spans: Mapping[float, tuple[float, float]]) -> Read:
    """Return a read with the latest time at which it may have arrived."""
    media_socket, leg, data, at = read
    return media_socket, leg, data, spans.get(at, (at, at))[1]


def _frames(data: bytes, leg: Leg) -> list[bytes]:
    """Split ``data`` after each whole frame, while frames are long enough to be audio."""
    frames, start = [], 0
    while len(data) - start >= SHORTEST and data[start + 1] == MASKED_16_BITS:
        stop = start + HEADER + (data[start + 2] << 8 | data[start + 3])
        if stop >= len(data):
            break
        frames.append(data[start:stop])
        start = stop
    frames.append(data[start:])
    leg.frame_size = len(frames[0])
    return frames


class Template:
    """A message template prepared for comparison with many frames at once."""

    def __init__(self, shape: MessageTemplate) -> None:
        length = len(shape.sample)
        start, stop = shape.payload
        encoded = shape.sample[start:stop]
        pads = len(encoded) - len(encoded.rstrip(b"="))
        self._fill = b"\0" * (-length % 4)
        # The first half of the header: one whole text message, masked, with 16 bits of length.
        self._head = int.from_bytes(
            bytes((0x81, MASKED_16_BITS)) + length.to_bytes(2, "big"), "little"
        )
        # Words of 4 bytes, like those of the frames; the fill completes the last one.
        self._sample = np.frombuffer(shape.sample + self._fill, "<u4")
        allowed = dict.fromkeys((at for span in shape.digits for at in range(*span)), _DIGIT)
        allowed |= {begin: _FIRST for begin, end in shape.bare if end - begin > 1}
        allowed |= dict.fromkeys((at for span in shape.texts for at in range(*span)), _TEXT)
        self._places = np.array(list(allowed), np.intp)
        self._sorts = np.array(list(allowed.values()), np.intp)
        fixed = np.full(length, 0xFF, np.uint8)
        fixed[self._places] = fixed[start : stop - pads] = 0
        self._fixed = np.frombuffer(fixed.tobytes() + self._fill, "<u4")
        self._payload, self._pads = slice(start, stop), pads
        self._size = len(encoded) // 4 * 3 - pads
        self._order = None if shape.order is None else slice(*shape.order)
        first, last = shape.order or (0, 0)
        self._powers = 10 ** np.arange(last - first, dtype=np.int64)[::-1]

    def take(
        self, batch: Sequence[Read], buffers: BatchJitterBuffer, earliest: Mapping[float, float]
    ) -> Sequence[Read]:
        """Put the audio of matching frames into their legs' buffers; return the others.

        ``earliest`` maps the times of late reads to the earliest time of arrival.
        """
        messages, fits = self._compare([data for _, _, data, _ in batch])
        left: Sequence[Read] = ()
        if fits is not None:
            messages, verdicts = messages[fits], fits.tolist()
            left = [read for read, fit in zip(batch, verdicts, strict=True) if not fit]
            batch = [read for read, fit in zip(batch, verdicts, strict=True) if fit]
        audio = self._audio(messages)
        if audio is None:
            return [*batch, *left]
        for media_socket, _, _, _ in batch:
            media_socket.connection.frames += 1
        orders = self._orders(messages)
        others: Sequence[int] = range(len(batch))
        if self._size == FRAME_SAMPLES:
            rows = np.array([leg.buffer.row if leg.buffer else 0 for _, leg, _, _ in batch])
            times = np.array([at for _, _, _, at in batch])
            since = np.array([earliest.get(at, at) for *_, at in batch]) if earliest else None
            ordinary = buffers.push(rows, audio, times, orders, since)
            others = () if ordinary.all() else np.flatnonzero(~ordinary).tolist()
        for place in others:
            _, leg, _, at = batch[place]
            order = None if orders is None else int(orders[place])
            try:
                if leg.buffer is not None:
                    leg.buffer.push(audio[place].tobytes(), at, order, earliest.get(at))
            except Exception:
                # One peer's audio must not affect the others.
                leg.fail()
        return left

    def _compare(self, frames: Sequence[bytes]) -> tuple[Messages, NDArray[np.bool_] | None]:
        """Return the unmasked payloads, and which of them match; ``None`` if all do."""
        data = self._fill.join((*frames, b""))
        words = np.frombuffer(data, "<u4").reshape(len(frames), -1)
        payloads = words[:, 2:] ^ words[:, 1:2]
        wrong = (payloads ^ self._sample) & self._fixed
        wrong[:, 0] |= words[:, 0] ^ self._head
        messages = payloads.view(np.uint8)
        allowed = _ALLOWED.take(messages.take(self._places, axis=1) + self._sorts)
        # max() is faster than any().
        if not wrong.max() and allowed.all():
            return messages, None
        return messages, ~wrong.any(axis=1) & allowed.all(axis=1)

    def _audio(self, messages: Messages) -> Messages | None:
        """Return the audio of matching messages; ``None`` if one of them is not base64."""
        encoded = np.ascontiguousarray(messages[:, self._payload])
        if self._pads:
            # Padding may only stand at the end of base64. "A" decodes to zeros, which are cut off.
            encoded[:, -self._pads :] = ord("A")
        try:
            audio = np.frombuffer(pybase64.b64decode(encoded, validate=True), np.uint8)
        except ValueError:
            return None
        return audio.reshape(len(messages), -1)[:, : self._size]

    def _orders(self, messages: Messages) -> NDArray[np.int64] | None:
        if self._order is None:
            return None
        orders: NDArray[np.int64] = (messages[:, self._order] - np.uint8(48)) @ self._powers
        return orders
