"""The fast path in: ordinary audio messages of many sockets are understood all at once.

Sockets are read as their data comes, so that its time of arrival is known; what they gave is kept,
and looked at when a tick is due. What holds, and what every change must keep:

1. A message taken here would have meant the same to its wire: the same payload in the same order.
   The wire gave the shape, and every byte of a message is compared with it.
2. What does not fit is handed back as it came and goes the general way, which understands
   everything, and against which this one is tested.
3. What one socket sends is never reordered. Its frames are kept in layers, one in each, and a layer
   is looked at when the one before is done with. A frame is taken here only where nothing
   unfinished came before it.
4. For a batch Python runs a few dozen steps, and for a message only to keep it.
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
from service.media.rooms.faults import Faults
from service.media.rooms.leg import Leg
from service.media.transport.connection import MediaSocket

FEW = 6
"""Messages of one kind and length for which arrays cost more than they save."""

HEADER = 8
"""Bytes before the payload of a masked frame whose length is told in 16 bits: RFC 6455, 5.2."""

SHORTEST = HEADER + 126
"""Bytes of the shortest such frame."""

MASKED_16_BITS = 0xFE
"""The second byte of such a frame."""

MAX_TEMPLATES = 1024
"""Templates that are remembered: one for each length that a provider's messages have."""

Read: TypeAlias = tuple[MediaSocket, Leg, bytes, float]
"""What one socket gave, a whole frame or anything else, and when."""

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
    """Keeps what sockets gave, sorted by kind and length, until it is taken."""

    def __init__(self, buffers: BatchJitterBuffer, faults: Faults | None = None) -> None:
        self._buffers = buffers
        self._faults = faults or Faults()
        self._layers: list[defaultdict[int, list[Read]]] = []
        self._templates: dict[int, Template] = {}
        self._spans: dict[float, tuple[float, float]] = {}

    def allow(self, at: float, earliest: float, latest: float) -> None:
        """Of what is kept as of ``at`` is only known that it came between these times."""
        self._spans[at] = earliest, latest

    def keep(self, peer: MediaSocket, leg: Leg, data: bytes, at: float) -> bool:
        """Keep a read; False where there is no need to, and it is to go the general way at once."""
        kind, size = leg.kind, len(data)
        if not peer.kept and not (
            kind and size >= SHORTEST and peer.connection.at_rest and peer.closing is None
        ):
            return False
        # Most reads are one frame, like the one before. After a stall they are many.
        for frame in (data,) if size == leg.frame_size else _frames(data, leg):
            if peer.kept == len(self._layers):
                self._layers.append(defaultdict(list))
            # There is room for far longer reads than there are.
            self._layers[peer.kept][kind << 16 | len(frame)].append((peer, leg, frame, at))
            peer.kept += 1
        return True

    def take(self) -> Iterator[Read]:
        """Put the audio of what is kept into its legs' buffers; yield what must go another way."""
        layers, self._layers = self._layers, []
        spans, self._spans = self._spans, {}
        earliest = {latest: since for since, latest in spans.values()}
        for number, layer in enumerate(layers):
            for key, kept in layer.items():
                for peer, _, _, _ in kept:
                    peer.kept = 0
                batch = kept if not spans else [_until(read, spans) for read in kept]
                ready: Sequence[Read] = batch
                if number:
                    # Something unfinished may have come before it.
                    ready = [read for read in batch if read[0].connection.at_rest]
                    yield from (read for read in batch if not read[0].connection.at_rest)
                try:
                    template = self._template(key, ready[0]) if len(ready) >= FEW else None
                    others = (
                        ready if template is None else template.take(ready, self._buffers, earliest)
                    )
                except Exception:
                    # The general way takes them one by one, so that one peer's costs no other's.
                    self._faults.note("a batch of audio failed")
                    others = ready
                yield from others

    def _template(self, key: int, example: Read) -> Template | None:
        template = self._templates.get(key)
        if template is None:
            peer, leg, data, _ = example
            message = peer.connection.sole_text(data)
            shape = leg.wire.shape(message) if message is not None else None
            # Without a shape, the next read of this length may have one.
            if shape is not None:
                if len(self._templates) >= MAX_TEMPLATES:
                    self._templates.clear()
                template = self._templates[key] = Template(shape)
        return template


def _until(read: Read, spans: Mapping[float, tuple[float, float]]) -> Read:
    """A read as of the latest time at which it may have come."""
    peer, leg, data, at = read
    return peer, leg, data, spans.get(at, (at, at))[1]


def _frames(data: bytes, leg: Leg) -> list[bytes]:
    """``data`` cut up after each whole frame, as far as frames are long enough to be audio."""
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
    """A shape made ready to be compared with many frames at once."""

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
        # Words like those of the frames, which the fill makes whole.
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
        """Put the audio of frames that fit into their legs' buffers; return the others.

        ``earliest`` is of the times at which frames were read late when they may have come.
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
        for peer, _, _, _ in batch:
            peer.connection.frames += 1
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
                # One peer's audio must not disturb the others.
                leg.fail()
        return left

    def _compare(self, frames: Sequence[bytes]) -> tuple[Messages, NDArray[np.bool_] | None]:
        """The unmasked payloads, and which of them fit; ``None`` where all do."""
        data = self._fill.join((*frames, b""))
        words = np.frombuffer(data, "<u4").reshape(len(frames), -1)
        payloads = words[:, 2:] ^ words[:, 1:2]
        wrong = (payloads ^ self._sample) & self._fixed
        wrong[:, 0] |= words[:, 0] ^ self._head
        messages = payloads.view(np.uint8)
        allowed = _ALLOWED.take(messages.take(self._places, axis=1) + self._sorts)
        # The highest of many numbers is found faster than whether there is any.
        if not wrong.max() and allowed.all():
            return messages, None
        return messages, ~wrong.any(axis=1) & allowed.all(axis=1)

    def _audio(self, messages: Messages) -> Messages | None:
        """The audio of messages that fit; ``None`` where it is not base64 in one of them."""
        encoded = np.ascontiguousarray(messages[:, self._payload])
        if self._pads:
            # Padding belongs to the end of base64 only. It becomes zeros, which are left out.
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
