"""The endpoint of a call's page: the call's markup and webhook deliveries."""

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
    """Return the markup of each response to the provider, with secrets masked, and deliveries."""
    call = services().stores.calls.get(call_id)
    until = None if call.ended_at is None else call.ended_at + AFTERMATH
    deliveries = [
        _describe(each)
        for each in services().stores.outbox.of_call(call.id, call.started_at, until)
    ]
    return respond({"data": {"markup": _markup(call), "deliveries": deliveries}}, 200)


def _describe(delivery: Delivery) -> dict[str, Any]:
    dumped: dict[str, Any] = _delivery.dump(delivery)
    return {**dumped, "receiver": delivery.receiver}


def _markup(call: Call) -> list[dict[str, Any]]:
    return [
        {"timestamp": iso(step.at), "event": step.event, "text": step.markup}
        for step in call.steps
        if step.markup is not None
    ]
