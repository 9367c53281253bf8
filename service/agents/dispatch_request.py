"""Requests to agents: a signed POST that names the room to join, and the agent's answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from service.calls.admission import Ticket
from service.domain import phone_numbers
from service.domain.agents import Agent, Dispatch
from service.domain.calls import Call
from service.errors import BadGateway
from service.http_client.client import HttpClient
from service.http_client.messages import HttpRequest
from service.providers.custom import socket_url
from service.security.canonical_json import stringify
from service.security.webhook_signing import Signer
from service.settings import Settings

ANSWER_SECONDS = 5
"""Timeout of an agent's answer."""

JOIN_SECONDS = 10
"""Timeout from an agent's acceptance to its joining the room."""

DISPATCH_ID = "x-patchbay-dispatch"
"""The header by which an agent recognises a second request for the same dispatch."""


@dataclass(frozen=True, slots=True)
class DispatchRequest:
    """``call`` is the one that the agent is dispatched for, if any, and ``session_id`` the room's
    session. ``ticket`` is that of the agent.
    """

    agent: Agent
    dispatch: Dispatch
    call: Call | None
    session_id: str | None
    ticket: Ticket

    def document(self, settings: Settings) -> dict[str, Any]:
        call, dispatch, ticket = self.call, self.dispatch, self.ticket
        base = ticket.node_url or settings.public_url or dispatch.base
        media = settings.media_base(ticket.call.region, base)
        return {
            "agentId": self.agent.id,
            "callId": dispatch.call_id,
            "roomId": ticket.call.room_id,
            "sessionId": self.session_id,
            "wsUrl": socket_url(media, ticket.ref),
            "expiresIn": JOIN_SECONDS,
            "from": None if call is None else _shown(call, call.caller),
            "to": None if call is None else _shown(call, call.callee),
            "metadata": dict(dispatch.metadata),
        }


class DispatchRequests:
    """Thread-safe."""

    def __init__(self, settings: Settings, signer: Signer, http: HttpClient) -> None:
        self._settings = settings
        self._signer = signer
        self._http = http

    def send(self, request: DispatchRequest) -> str | None:
        """Ask an agent to join. Return its reason in a few words if it refuses."""
        body = stringify(request.document(self._settings)).encode()
        headers = {
            "Content-Type": "application/json",
            DISPATCH_ID: request.dispatch.id,
            **self._signer.headers(body),
        }
        try:
            post = HttpRequest("POST", request.agent.url, headers, body)
            response = self._http.send(post, seconds=ANSWER_SECONDS)
        except BadGateway as error:
            return error.message
        return None if 200 <= response.status < 300 else f"answered {response.status}"


def _shown(call: Call, number: str) -> str:
    """Return a number of the call as the participants of the room may see it."""
    return phone_numbers.masked(number) if call.hides_number and number == call.remote else number
