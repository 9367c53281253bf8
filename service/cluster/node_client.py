"""One request to a node of another machine: a message over HTTP to the machine's ``NODE_URL``.

The HTTP client keeps connections, verifies certificates, follows no redirect and reads no proxy
variables. This module logs nothing.
"""

from __future__ import annotations

from typing import Any

from service.clock import Clock
from service.cluster import channel
from service.cluster.codec import Malformed
from service.cluster.messages import Accepted, Message, decode_answer, encode
from service.cluster.peers import ANSWER_SECONDS, Unanswered
from service.errors import BadGateway
from service.http_client.client import HttpClient
from service.http_client.messages import HttpRequest, HttpResponse
from service.security.node_tokens import NodeTokens

MOST_BYTES = 64 * 1024
"""Longest message: the longest body that the server reads."""

LONGEST_REASON = 300
"""Characters of another server's sentence that are repeated."""


REFUSALS = (403, 429)
"""Statuses by which the machine itself refuses: it is there, but does not accept the request."""


class Unreached(Unanswered):
    """A node of another machine gave no answer, or refused.

    ``status`` is that of the HTTP response, if there was one. ``cause`` is the error of the
    connection. ``is_there`` tells whether the node itself or its machine has refused.
    """

    def __init__(
        self,
        sentence: str,
        status: int | None = None,
        cause: BaseException | None = None,
        *,
        is_there: bool = False,
    ) -> None:
        super().__init__(sentence)
        self.status = status
        self.cause = cause
        self.is_there = is_there


def path_of(node_id: str) -> str:
    """Return the path of a node below the address of its machine."""
    return f"/internal/nodes/{node_id}"


class NodeClient:
    """Thread-safe. ``node_id`` names the sender in the token. ``wall`` is the machine's clock."""

    def __init__(self, api_secret: str, node_id: str, wall: Clock, http: HttpClient) -> None:
        self._tokens = NodeTokens(api_secret)
        self._node_id = node_id
        self._wall = wall
        self._http = http

    def ask(self, url: str, node_id: str, message: Message, seconds: float = ANSWER_SECONDS) -> Any:
        """Return the value of a node's answer. ``url`` is the address of its machine.

        Raises ``Unreached``.
        """
        body, path = encode(message), path_of(node_id)
        if len(body) > MOST_BYTES:
            raise Unreached(
                f"The message for node {node_id} is longer than {MOST_BYTES} bytes.", is_there=True
            )
        token = self._tokens.sign(self._node_id, path, body, self._wall.now())
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        request = HttpRequest("POST", url + path, headers, body)
        try:
            response = self._http.send(
                request, seconds=seconds, wanted=channel.MAX_BYTES, needs_body=True
            )
        except BadGateway as error:
            sentence = f"Node {node_id} does not answer at {url}: {error.message}."
            raise Unreached(sentence, cause=error.__context__) from None
        return _value(response, url, node_id)

    def close(self) -> None:
        """Close the connections that wait for their next use."""
        self._http.close()


def _value(response: HttpResponse, url: str, node_id: str) -> Any:
    status = response.status
    reason = str(response.document.get("message", f"HTTP status {status}"))[:LONGEST_REASON]
    if status == 404:
        sentence = f"NODE_URL {url} reaches no machine that has node {node_id}: {reason}"
        raise Unreached(sentence, status)
    if status != 200:
        sentence = f"Node {node_id} refuses a request at {url}: {reason}"
        raise Unreached(sentence, status, is_there=status in REFUSALS)
    try:
        answer = decode_answer(response.body)
    except Malformed as error:
        sentence = f"Node {node_id} answers with something else at {url}: {error}"
        raise Unreached(sentence, status) from None
    if isinstance(answer, Accepted):
        return answer.value
    raise Unreached(f"Node {node_id} refuses: {answer.reason}", status, is_there=True)
