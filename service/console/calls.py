"""What the page of a call shows beyond the call itself: its markup, and who was told of it."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response

from service.clock import iso
from service.domain.calls import Call
from service.domain.webhooks import Delivery
from service.security.permissions import Need
from service.storage.webhooks.outbox import AFTERMATH
from service.web.declarations import needs
from service.web.responses import respond
from service.web.schemas.deliveries import DeliveryData
from service.web.services import services

calls = Blueprint("console_calls", __name__, url_prefix="/console/api/calls")

_delivery = DeliveryData()


@calls.get("/<id:call_id>")
@needs(Need.ACCOUNT)
def get(call_id: str) -> Response:
    """``markup`` is each answer that the provider was given, in order, with its secrets masked."""
    call = services().stores.calls.get(call_id)
    until = None if call.ended_at is None else call.ended_at + AFTERMATH
    told = [
        _described(each)
        for each in services().stores.outbox.of_call(call.id, call.started_at, until)
    ]
    return respond({"data": {"markup": _markup(call), "deliveries": told}}, 200)


def _described(delivery: Delivery) -> dict[str, Any]:
    dumped: dict[str, Any] = _delivery.dump(delivery)
    return {**dumped, "receiver": delivery.receiver}


def _markup(call: Call) -> list[dict[str, Any]]:
    return [
        {"timestamp": iso(step.at), "event": step.event, "text": step.markup}
        for step in call.steps
        if step.markup is not None
    ]
