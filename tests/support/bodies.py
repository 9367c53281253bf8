"""Invalid request bodies."""

from __future__ import annotations

import io


class Broken(io.RawIOBase):
    """A body with invalid chunks, for which a server raises its own exception."""

    def readinto(self, buffer: object) -> int:
        raise RuntimeError("Invalid chunk size")
