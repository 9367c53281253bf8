"""The limit of connections, which stays low for a while after descriptors became scarce."""

from __future__ import annotations

SCARCE_SECONDS = 1.0


class ConnectionLimit:
    """The number of connections at which descriptors became scarce, and until when it holds."""

    def __init__(self) -> None:
        self._scarce_at = 0
        self._until = 0.0

    def allowed(self, most: int, connections: int, is_last: bool, now: float) -> int:
        """Return the limit at ``now`` (monotonic seconds): ``most``, or less.

        ``is_last`` says that the newest of the ``connections`` has one of the last descriptors.
        """
        is_scarce = now < self._until
        if is_last:
            self._scarce_at = min(connections, self._scarce_at) if is_scarce else connections
            self._until = now + SCARCE_SECONDS
        elif not is_scarce:
            return most
        return min(self._scarce_at, most)
