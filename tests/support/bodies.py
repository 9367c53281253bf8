"""Request bodies as no client should send them."""

from __future__ import annotations

import io


class Broken(io.RawIOBase):
    """A body whose chunks are not chunks, as a server says it: with an exception of its own."""

    def readinto(self, buffer: object) -> int:
        raise RuntimeError("Invalid chunk size")
