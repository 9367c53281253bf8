"""Jitter buffer of one leg: encoded audio of any chunking in, one frame per tick out.

Pure: times are arguments, in monotonic seconds. The play-out delay adapts. A frame that misses its
tick is played one tick later, which lengthens the delay by a frame. When every frame of a calm
window has waited at least a frame longer than necessary, one frame is spliced out. With steady
arrivals the delay is a few milliseconds; with jitter it grows up to the limit of ``Pace``.
"""

from __future__ import annotations

from collections import deque

import numpy as np

from service.domain.wire import FRAME_SAMPLES, PERIOD, Encoding
from service.errors import RemoteError
from service.media.audio import g711
from service.media.jitter.chunk_queue import ChunkQueue
from service.media.jitter.effects import Effect
from service.media.jitter.overrun import REST, Overrun
from service.media.jitter.pace import PACED_CAPACITY, Pace
from service.media.jitter.state import BatchOwner, BufferState
from service.media.jitter.stats import JitterStats

SLACK = 0.004
"""Seconds a frame should wait before its tick, so that scheduling jitter causes no gap."""

BURST_CAPACITY = 3000
"""Frames kept for a peer that may send faster than real time, such as an agent: one minute."""

WINDOW = 50
"""Frames in one calm window: a second. Every gap doubles it, up to ``LONGEST_WINDOW``."""

LONGEST_WINDOW = 400

STALE = 3 * PERIOD
"""Seconds after which an incomplete frame is padded with silence and played."""

QUIET = 256
"""Peak below which a frame may be cut from a burst inaudibly: -42 dB."""

MAX_MARKS = 256


class JitterBuffer:
    """Audio of one peer between its arrival and its tick.

    ``paced`` means that the peer sends in real time, so a backlog is delay and is cut. The backlog
    of any other peer is speech that waits to be played. Of that only quiet frames are cut, and only
    while the peer sends at the rate of real time, as a browser's microphone does.
    """

    def __init__(self, encoding: Encoding, *, paced: bool) -> None:
        self.stats = JitterStats()
        self.marks: deque[tuple[int, str]] = deque()  # positions in the audio, and names
        self.effect = Effect.PLAIN
        self.spliced: bytes | None = None
        self.owner: BatchOwner[JitterBuffer] | None = (
            None  # holds this buffer's state, and acts for it
        )
        self.row = 0  # the owner's row for this buffer; 0 for none
        self.alone = 0  # frames since it last had an owner
        self.overrun = Overrun()
        self.chunks = ChunkQueue()
        self._encoding = encoding
        self._frame = FRAME_SAMPLES * encoding.bytes_per_sample
        self._paced = paced
        self.pace = Pace(PACED_CAPACITY if paced else BURST_CAPACITY)
        self._playing = False
        self._last = b""
        self._cut: bytes | None = None  # the first frame dropped since the last one played
        self._pushed = 0
        self._transit: float | None = None
        self._window = self._left = WINDOW
        self._margin = float("inf")
        self._arrivals = 0
        self._trim = 0

    @property
    def depth(self) -> float:
        """Seconds of audio waiting."""
        return self.chunks.size / self._frame * PERIOD

    def heard_at(self, at: float) -> float:
        """Return when audio arrived last; ``at`` (now) while the buffer has an owner."""
        if self.owner is not None:
            return at
        heard = self._pushed / self._frame * PERIOD
        return float("-inf") if self._transit is None else self._transit + heard

    def push(
        self, payload: bytes, at: float, order: int | None = None, earliest: float | None = None
    ) -> None:
        """Add audio that arrived ``at``. Chunks with an ``order`` are sorted by it.

        ``earliest`` is given if this process read the audio late: it arrived between the two times.
        """
        if self.owner is not None:
            self.reclaim()
        length = len(payload)
        # Seconds of audio before the last frame of this chunk.
        span = (self._pushed + length - self._frame) / self._frame * PERIOD
        if earliest is not None and self._paced:
            at = self.pace.arrival(at, span, earliest)
        if not length or not self.chunks.push(payload, at, order):
            return
        self._arrivals += length
        self._measure(length, at)
        if not self._paced:
            self._cap(self.pace.capacity * self._frame, at)
            return
        frames = length / self._frame
        if self.pace.note(at - span, frames):
            self._window = LONGEST_WINDOW
            self._restart_window()
        self._cap(int(self.pace.room(frames) * self._frame), at)

    def settle(self, at: float) -> None:
        """End a stall of this process, so that it adds no delay to a paced peer."""
        if self._paced:
            self.pace.settle(at, self.chunks.size // self._frame)

    def take(self, at: float) -> bytes | None:
        """Return the frame for the tick ``at``, to join by ``effect``; ``None`` means silence."""
        if self.owner is not None:
            self.reclaim()
        self.alone += 1
        chunks = self.chunks
        if chunks.size < self._frame and not self._complete(at):
            return self._miss()
        if chunks.counted and self._playing and chunks.overtaken():
            # Leave this tick to the missing chunk, which may still arrive.
            return self._miss()
        age = at - chunks.arrived(self._frame)
        if self._playing:
            self.effect = Effect.PLAIN if self._cut is None else Effect.SPLICE
        elif age < SLACK and chunks.size < 2 * self._frame:
            return None  # The next frame would likely miss its tick.
        else:
            self.effect = Effect.RESUME
            self._playing = True
        self.spliced, self._cut = self._cut, None
        self._last = frame = chunks.take(self._frame)
        self.stats.taken += 1
        self._watch(age)
        return frame

    def mark(self, name: str) -> None:
        """Set a mark, which ``reached`` returns once everything pushed before it has been taken."""
        self.reclaim()
        if len(self.marks) >= MAX_MARKS:
            raise RemoteError(f"More than {MAX_MARKS} marks are waiting.", close_code=1008)
        self.marks.append((self.chunks.passed + self.chunks.size, name))

    def reached(self) -> list[str]:
        """Return the names of marks reached since the last call."""
        names = []
        while self.marks and self.marks[0][0] <= self.chunks.passed:
            names.append(self.marks.popleft()[1])
        return names

    def clear(self) -> None:
        """Drop all waiting audio. Its marks count as reached, so that no peer waits for ever."""
        self.reclaim()
        if self._cut is None and self.chunks.size >= self._frame:
            self._cut = self.chunks.take(self._frame)  # To cross-fade from if more audio follows.
        self.chunks.clear()
        self._trim = 0

    def reclaim(self) -> None:
        """Take this buffer's state back from its owner."""
        if self.owner is not None:
            self.owner.release(self)

    def steady_state(self) -> BufferState | None:
        """Return the state of a steady buffer: a paced one that plays without gaps or marks."""
        if (
            not self._playing
            or self._frame != FRAME_SAMPLES
            or not self._paced
            or self._transit is None
            or self.pace.base is None
            or self.marks
            or (frames := self.chunks.whole(self._frame)) is None
        ):
            return None
        return BufferState(
            frames=frames,
            last=self._last,
            cut=self._cut,
            pushed=self._pushed,
            transit=self._transit,
            jitter=self.stats.jitter,
            window=self._window,
            left=self._left,
            margin=self._margin,
            next_order=self.chunks.next_order(),
            full=(self.overrun.since, self.overrun.last),
            base=self.pace.base,
            capacity=self.pace.capacity,
            settling=(self.pace.ceiling, self.pace.settles),
        )

    def resume(self, steady: BufferState, taken: int, dropped: int) -> None:
        """Continue from the state of an owner that has ``taken`` and ``dropped`` frames."""
        self.alone = 0
        self.effect, self.spliced = Effect.PLAIN, None
        self.chunks.resume(steady.frames, (taken + dropped) * self._frame, steady.next_order)
        self.stats.taken += taken
        self.stats.dropped += dropped
        self.stats.jitter = steady.jitter
        self._last, self._cut = steady.last, steady.cut
        self.overrun.since, self.overrun.last = steady.full
        self.pace.base, self.pace.capacity = steady.base, steady.capacity
        self.pace.ceiling, self.pace.settles = steady.settling
        self._pushed, self._transit = steady.pushed, steady.transit
        self._window, self._left, self._margin = steady.window, steady.left, steady.margin

    def _measure(self, length: int, at: float) -> None:
        transit = at - self._pushed / self._frame * PERIOD
        self._pushed += length
        if self._transit is not None and self._playing:
            self.stats.jitter += (abs(transit - self._transit) - self.stats.jitter) / 16
        self._transit = transit

    def _complete(self, at: float) -> bool:
        """Pad an incomplete frame with silence if the rest is overdue. Returns whether it did."""
        if not self.chunks.size or at - self.chunks.last_arrived() < STALE:
            return False
        silence = g711.SILENCE[self._encoding]
        self.chunks.fill(silence * ((self._frame - self.chunks.size) // len(silence)))
        return True

    def _miss(self) -> bytes | None:
        """Conceal the first missing frame, then return silence until audio arrives."""
        if not self._playing:
            return None
        self._playing = False
        self._cut = None
        self.stats.gaps += 1
        self._window = min(2 * self._window, LONGEST_WINDOW)
        self._restart_window()
        self.effect, self.spliced = Effect.CONCEAL, None
        return self._last

    def _cap(self, capacity: int, at: float) -> None:
        """Drop the oldest audio beyond ``capacity`` bytes."""
        kept = capacity
        if at < self.pace.settles:
            kept = min(kept, self.pace.ceiling * self._frame)
        if self.chunks.size <= kept:
            return
        if kept == capacity and self.overrun.full(at):
            kept = min(capacity // 2, REST * self._frame)
        self._drop(-(-(self.chunks.size - kept) // self._frame))

    def _drop(self, frames: int = 1) -> None:
        """Drop the next frames, and keep the first of a run to cross-fade from."""
        frame = self.chunks.take(self._frame)
        if frames > 1:
            self.chunks.take((frames - 1) * self._frame)
        self.stats.dropped += frames
        if self._cut is None:
            self._cut = frame

    def _watch(self, age: float) -> None:
        """Shorten the delay after a window in which every frame waited longer than necessary."""
        if self._trim:
            self._trim_quiet()
        if age < self._margin:
            self._margin = age
        self._left -= 1
        if self._left:
            return
        spare = int((self._margin - SLACK) / PERIOD)
        if spare > 0 and self.chunks.size >= self._frame:
            if self._paced:
                self._drop()
            else:
                expected = self._window * self._frame
                live = 0.8 * expected <= self._arrivals <= 1.25 * expected
                self._trim = spare if live else 0
        if self._paced:
            self.pace.calm(self.chunks.size / self._frame)
        self._window = max(self._window // 2, WINDOW)
        self._restart_window()

    def _restart_window(self) -> None:
        self._margin = float("inf")
        self._left = self._window
        self._arrivals = 0

    def _trim_quiet(self) -> None:
        """Drop the next frame of a burst if the cut is inaudible."""
        upcoming = self.chunks.peek(self._frame) if self.chunks.size >= self._frame else b""
        if len(upcoming) == self._frame:
            samples = g711.decode(upcoming, self._encoding).astype(np.int32)
            if int(np.abs(samples).max()) < QUIET:
                self._trim -= 1
                self._drop()
