"""Messages that nodes of other machines send to a node of this one, over HTTP.

Any worker of the machine gets the request. It acts on the message itself or passes it on to the
worker that is the node, and asks no other machine. Neither needs the database.
"""

from __future__ import annotations

from service.clock import Clock
from service.cluster.channel import Frame
from service.cluster.codec import Malformed
from service.cluster.listener import Handle
from service.cluster.messages import (
    Accepted,
    AdoptSocket,
    Answer,
    Message,
    Rejected,
    decode,
    encode,
)
from service.cluster.node_client import path_of
from service.cluster.peers import Peers, Refusal, Unanswered
from service.errors import Busy, Invalid, NotFound
from service.security.node_tokens import NodeTokens

FORWARD_SECONDS = 0.7
"""Seconds that another worker may take. The sender waits for a second in all."""


class RemoteRequests:
    """Thread-safe. ``wall`` is the machine's clock."""

    def __init__(
        self, node_id: str, handle: Handle, near: Peers, tokens: NodeTokens, wall: Clock
    ) -> None:
        self._node_id = node_id
        self._handle = handle
        self._near = near
        self._tokens = tokens
        self._wall = wall

    def require_token(self, node_id: str, header: str | None, body: bytes) -> None:
        """Raise ``Forbidden`` unless a node has signed this request for ``node_id``."""
        self._tokens.verify(header, path_of(node_id), body, self._wall.now())

    def answer(self, node_id: str, body: bytes) -> bytes:
        """Act on a message, and return the encoded answer.

        Raises ``NotFound`` where this machine does not have the node, ``Invalid``, and ``Busy``
        where the node does not answer.
        """
        if node_id != self._node_id and node_id not in self._near.siblings():
            raise NotFound(f"Node {node_id} is not on this machine.")
        try:
            message = decode(body)
            if isinstance(message, AdoptSocket):
                raise Malformed("AdoptSocket cannot come from another machine.")
            return encode(self._answer(node_id, message, body))
        except Malformed as error:
            raise Invalid(str(error)) from None

    def _answer(self, node_id: str, message: Message, body: bytes) -> Answer:
        try:
            if node_id == self._node_id:
                return self._handle(message, Frame(body, None))
            return Accepted(self._near.ask(node_id, message, seconds=FORWARD_SECONDS))
        except TimeoutError as error:
            return Rejected(str(error))
        except Refusal as refusal:
            return Rejected(refusal.reason)
        except Unanswered as error:
            raise Busy(str(error)) from None
