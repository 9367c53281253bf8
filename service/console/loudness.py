"""The endpoint of a call's loudness plot."""

from __future__ import annotations

import logging
from typing import Any

from flask import Blueprint, Response

from service.domain.loudness import STEP_MILLIS, Loudness, decibels
from service.security.permissions import Need
from service.web.declarations import needs
from service.web.responses import respond
from service.web.services import services

logger = logging.getLogger(__name__)

loudness = Blueprint("console_loudness", __name__, url_prefix="/console/api/calls")


@loudness.get("/<id:call_id>/loudness")
@needs(Need.ACCOUNT)
def get(call_id: str) -> Response:
    """Return a record for each leg of the call, oldest first. Times are epoch milliseconds.

    ``said`` and ``heard`` have a level in dBFS for each ``step``, or null for silence.
    """
    call = services().stores.calls.get(call_id)
    records = {record.leg_id: record for record in services().stores.loudness.of(call.id)}
    if call.status.is_live:
        record = _current(call.id)
        if record is not None:
            records.setdefault(record.leg_id, record)
    return respond({"data": [_describe(record) for record in records.values()]}, 200)


def _current(call_id: str) -> Loudness | None:
    try:
        return services().media.loudness(call_id)
    except TimeoutError:
        logger.warning("the media engine did not report a call's loudness in time")
        return None


def _describe(record: Loudness) -> dict[str, Any]:
    return {
        "legId": record.leg_id,
        "start": record.started_at,
        "step": STEP_MILLIS,
        "said": decibels(record.said),
        "heard": decibels(record.heard),
    }
