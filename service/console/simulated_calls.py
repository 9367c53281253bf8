"""``/console/api/trials``: test calls to this server's own connectors.

The call goes to ``PUBLIC_URL`` like a provider's, or else to the service's address on this
machine. The ``Host`` header is not used, so that a client cannot choose where requests are sent.
"""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
from flask import Blueprint, Response

from service.console.simulated_call_schemas import NewSimulatedCall, SimulatedCallData
from service.domain.connectors import Connector, webhook_url
from service.errors import Conflict, Invalid
from service.providers import load
from service.security.permissions import Need
from service.simulator.audio import sound
from service.simulator.audio.codec import RATE, Samples
from service.simulator.providers import signing
from service.simulator.scenario import Scenario
from service.simulator.simulated_calls import SimulatedCall
from service.web.declarations import needs
from service.web.responses import respond
from service.web.services import services
from service.web.validation import body

MAX_BODY = 4 * 1024 * 1024
"""Bytes: a little more than the longest recording at 48 kHz in base64."""

LONGEST_RECORDING = 30.0
"""Seconds."""

PAUSE = RATE
"""Samples of silence before a recording is repeated."""

TONE_HERTZ = 440

simulated_calls = Blueprint("console_simulated_calls", __name__, url_prefix="/console/api/trials")

_providers = load()


@simulated_calls.post("")
@needs(Need.ACCOUNT)
@body(NewSimulatedCall(), limit=MAX_BODY)
def place(fields: dict[str, Any]) -> Response:
    """Place a call without waiting for it."""
    services().simulated_calls.require_on()
    connector = services().stores.connectors.get(fields["connector_id"])
    key, account = signing.key_and_account(connector.provider, connector.credentials)
    if key is None:
        _require_unsigned(connector)
    settings = services().settings
    base = settings.public_url or settings.local_url
    scenario = Scenario(
        webhook_url=webhook_url(base, connector.provider, connector.webhook_key),
        caller=fields["caller"],
        callee=fields["callee"],
        sample=_sample(fields),
        loop=True,
        seconds=fields["seconds"],
        digits=fields["digits"],
        pins=(fields["pin"],) if fields["pin"] else (),
        signing_key=key,
        account=account,
    )
    return respond({"data": _describe(services().workers.place(connector.id, scenario))}, 202)


@simulated_calls.get("")
@needs(Need.ACCOUNT)
def index() -> Response:
    return respond(
        {"data": [_describe(simulated) for simulated in services().workers.simulated_calls()]}, 200
    )


@simulated_calls.get("/<id:simulated_call_id>")
@needs(Need.ACCOUNT)
def get(simulated_call_id: str) -> Response:
    return respond({"data": _describe(services().workers.simulated_call(simulated_call_id))}, 200)


@simulated_calls.delete("/<id:simulated_call_id>")
@needs(Need.ACCOUNT)
def hang_up(simulated_call_id: str) -> Response:
    return respond({"data": _describe(services().workers.hang_up(simulated_call_id))}, 200)


def _sample(fields: dict[str, Any]) -> Samples:
    """Return the sound that the caller repeats. Raises ``Invalid``."""
    match fields["sound"]:
        case "melody":
            return sound.melody()
        case "tone":
            return sound.tone(TONE_HERTZ, 1.0)
    try:
        data = base64.b64decode(fields["recording"], validate=True)
    except ValueError:
        raise Invalid("recording must be base64.") from None
    return np.pad(sound.parse(data, "recording", LONGEST_RECORDING), (0, PAUSE))


def _require_unsigned(connector: Connector) -> None:
    """Raise ``Conflict`` if calls to this connector must be signed."""
    if connector.locked:
        raise Conflict(
            "The connector's credentials cannot be read with this API_SECRET: set them again."
        )
    if _providers[connector.provider].checks(connector.credentials):
        raise Conflict(
            "Only the provider can sign calls to this connector: place the test call to one "
            "without a publicKey."
        )


def _describe(simulated: SimulatedCall) -> dict[str, Any]:
    call = services().stores.calls.find(simulated.connector_id, simulated.provider_call_id)
    data: dict[str, Any] = SimulatedCallData().dump(simulated)
    return {
        **data,
        "callId": None if call is None else call.id,
        "roomId": None if call is None else call.room_id,
    }
