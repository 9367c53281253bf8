"""The way to a leg's peer, as the media plane sees it."""

from __future__ import annotations

from typing import Protocol

from service.domain.calls import EndReason


class Transport(Protocol):
    """The way to a leg's peer. No method blocks or fails: a dead line drops what it is given."""

    def text(self, message: bytes) -> None: ...

    def around(self, prefix: bytes, suffix: bytes, length: int) -> tuple[bytes, bytes]:
        """What stands on the line before and after ``length`` bytes of audio in a message.

        In the message itself, that is ``prefix`` and ``suffix``.
        """
        ...

    def audio(self, frame: bytes) -> None:
        """Send one audio message, ``around`` it included.

        It may be dropped where the peer does not keep up.
        """
        ...

    def forget_audio(self) -> None:
        """Drop the audio that waits for the peer to keep up."""
        ...

    def hang_up(self, code: int, text: str, reason: EndReason | None) -> None:
        """Close with a WebSocket close code; ``reason`` is what the end is reported with."""
        ...

    @property
    def answers_pings(self) -> bool:
        """Whether a pong has ever come."""
        ...

    @property
    def dropped(self) -> int:
        """Audio messages dropped because the peer did not keep up."""
        ...
