"""Interface of the connection to a leg's peer."""

from __future__ import annotations

from typing import Protocol

from service.domain.calls import EndReason


class Transport(Protocol):
    """Connection to a leg's peer. No method blocks or raises: a dead connection drops its input."""

    def text(self, message: bytes) -> None: ...

    def around(self, prefix: bytes, suffix: bytes, length: int) -> tuple[bytes, bytes]:
        """Return the bytes sent before and after ``length`` bytes of audio.

        ``prefix`` and ``suffix`` surround the audio within the message itself.
        """
        ...

    def audio(self, frame: bytes) -> None:
        """Send one audio message, complete with the bytes of ``around``.

        It may be dropped if the peer does not keep up.
        """
        ...

    def forget_audio(self) -> None:
        """Drop the audio that waits to be sent."""
        ...

    def hang_up(self, code: int, text: str, reason: EndReason | None) -> None:
        """Close with a WebSocket close code; the end is reported with ``reason``."""
        ...

    @property
    def answers_pings(self) -> bool:
        """Whether a pong has arrived."""
        ...

    @property
    def dropped(self) -> int:
        """Number of audio messages dropped because the peer did not keep up."""
        ...
