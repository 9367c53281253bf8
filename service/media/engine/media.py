"""Interface of the media plane to use cases: the part of an engine that may run elsewhere.

``Engine`` satisfies it. What is strictly local is not part of it: the legs of the own engine, its
reports, and its end.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from service.domain.calls import EndReason, Participant
from service.domain.loudness import Loudness
from service.media.rooms.leg import LegSpec


class Media(Protocol):
    """Thread-safe. Commands return at once and raise nothing."""

    def adopt(self, sock: socket.socket, spec: LegSpec) -> None:
        """Take over a socket whose handshake is done, and close it at its end."""
        ...

    def hang_up(self, call_id: str, reason: EndReason, text: str) -> None:
        """Close the call's sockets, and report the end with ``reason``."""
        ...

    def release(self, call_id: str, text: str) -> None:
        """Close the call's sockets, so that its provider asks again; the call goes on."""
        ...

    def move(
        self, call_id: str, room_id: str, participant: Participant, session_id: str | None
    ) -> None:
        """Move the call to another room. ``LegMoved`` reports its arrival."""
        ...

    def stats(
        self, call_ids: Iterable[str], seconds: float = 1.0
    ) -> Mapping[str, Mapping[str, Any]]:
        """Return statistics of the calls that have a socket. Raises ``TimeoutError``."""
        ...

    def loudness(self, call_id: str, seconds: float = 1.0) -> Loudness | None:
        """Return the loudness of a call on its current leg. Raises ``TimeoutError``."""
        ...

    def watch(self, sock: socket.socket) -> None:
        """Take over a socket whose handshake is done, and send it the live feed."""
        ...

    def announce(self) -> None:
        """Tell the readers of the live feed that stored calls have changed."""
        ...
