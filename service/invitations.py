"""Asks agents to come: one signed POST that says where an agent is wanted, and what it answered."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import orjson

from service import callers
from service.agents import Agent, Dispatch
from service.errors import BadGateway
from service.model import Call
from service.providers.websocket import socket_url
from service.rest import HttpRequest, HttpResponse
from service.settings import Settings

ANSWER_SECONDS = 5
"""How long an agent may take to say that it comes."""

JOIN_SECONDS = 10
"""How long it may then take to join the room."""

DISPATCH_ID = "x-patchbay-dispatch"
"""The header by which an agent that is asked twice knows that it is about the same dispatch."""


class Signer(Protocol):
    def headers(self, body: bytes) -> Mapping[str, str]: ...


class Sender(Protocol):
    def send(self, request: HttpRequest) -> HttpResponse: ...


class Invitations:
    """Thread-safe."""

    def __init__(self, settings: Settings, signer: Signer, sender: Sender) -> None:
        self._settings = settings
        self._signer = signer
        self._sender = sender

    def send(
        self, agent: Agent, dispatch: Dispatch, call: Call | None, ticket: Call, ref: str
    ) -> str | None:
        """Ask an agent to come by this ticket. Why it does not, in a few words, if so."""
        base = self._settings.public_url or dispatch.base
        url = socket_url(self._settings.media_base(ticket.region, base), ref)
        body = orjson.dumps(_document(dispatch, call, ticket, url))
        headers = {
            "Content-Type": "application/json",
            DISPATCH_ID: dispatch.id,
            **self._signer.headers(body),
        }
        try:
            response = self._sender.send(HttpRequest("POST", agent.url, headers, body))
        except BadGateway as error:
            return error.message
        return None if 200 <= response.status < 300 else f"answered {response.status}"


def _document(dispatch: Dispatch, call: Call | None, ticket: Call, url: str) -> dict[str, Any]:
    return {
        "agentId": dispatch.agent_id,
        "callId": dispatch.call_id,
        "roomId": ticket.room_id,
        "sessionId": None if call is None else call.session_id,
        "wsUrl": url,
        "expiresIn": JOIN_SECONDS,
        "from": None if call is None else _shown(call, call.caller),
        "to": None if call is None else _shown(call, call.callee),
        "metadata": dispatch.metadata,
    }


def _shown(call: Call, number: str) -> str:
    """A number of the call as those in the room may see it."""
    return callers.masked(number) if call.hides_number and number == call.remote else number
