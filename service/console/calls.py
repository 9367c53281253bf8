"""What the page of a call shows beyond the call itself: its markup, and who was told of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from flask import Blueprint, Response

from service.api.answers import respond
from service.api.requests import outbox, public_base, switchboard
from service.api.schemas.deliveries import DeliveryData
from service.errors import NotFound
from service.model import Call, LadderEvent
from service.providers import load
from service.providers.base import Arrival
from service.subscriptions import Delivery
from service.visits import Visit

MASKED_KEY = "whk_•••"
MASKED_REF = "•••"

calls = Blueprint("console_calls", __name__, url_prefix="/console/api/calls")

_providers = load()
_delivery = DeliveryData()


@calls.get("/<id:call_id>")
def get(call_id: str) -> Response:
    """``markup`` is what streams this call, with its secrets masked; null where nothing did."""
    call = switchboard().calls.get(call_id)
    told = [_described(each) for each in outbox().of_call(call.id, call.started_at)]
    return respond({"data": {"markup": _markup(call), "deliveries": told}}, 200)


def _described(delivery: Delivery) -> dict[str, Any]:
    dumped: dict[str, Any] = _delivery.dump(delivery)
    return {**dumped, "receiver": delivery.receiver}


def _markup(call: Call) -> str | None:
    if all(step.event is not LadderEvent.MARKUP for step in call.steps):
        return None
    try:
        connector = switchboard().connectors.get(call.connector_id or "")
    except NotFound:
        return None
    visit = Visit(
        provider=_providers[call.provider],
        connector=replace(connector, webhook_key=MASKED_KEY),
        arrival=Arrival(call.provider_call_id, call.caller, call.callee, in_progress=False),
        settings=switchboard().settings,
        base=public_base(),
        at=call.started_at,
    )
    return visit.stream(MASKED_REF, call.region).text
