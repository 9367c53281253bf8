"""Twilio's REST API, the Dial verb, and status callbacks.

https://www.twilio.com/docs/voice/api/call-resource
https://www.twilio.com/docs/voice/twiml/dial
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import ClassVar
from urllib.parse import quote

from service.http_client.messages import HttpRequest, HttpResponse, basic, form
from service.providers.base.call_control import CallControl, Order, Secrets
from service.providers.base.provider import Webhook, is_call_id
from service.providers.twilio import PROVIDER

EVENTS = ("initiated", "ringing", "answered", "completed")

CODE = re.compile(r"\b(?:1[12]\d{3}|319\d{2})\b")
"""Error code within the text of a stream error, which has no field for it."""

NOT_IN_PROGRESS = 21220
"""https://www.twilio.com/docs/api/errors/21220"""


class TwilioControl(CallControl):
    provider = PROVIDER
    title = "Twilio"
    call_needs = place_needs = ("accountSid", "authToken")

    # https://www.twilio.com/docs/api/errors has a page for each code.
    troubles: ClassVar[Mapping[str, str]] = {
        "11200": "the webhook could not be fetched.",
        "11205": "no connection to the webhook: is PUBLIC_URL reachable from outside?",
        "12100": "the webhook's answer is not well-formed XML.",
        "31901": "the media socket did not answer in time: is a firewall or a proxy in the way?",
        "31902": "the media socket was refused: is the port in PUBLIC_URL right?",
        "31910": "the media socket has no usable TLS: look at the certificate of PUBLIC_URL.",
        "31920": "the media socket was not upgraded: does the proxy pass Upgrade on, and was the "
        "reference used or expired?",
        "31921": "the media socket was closed from our side, as for an end or a transfer.",
        "31922": "the media address is not wss://: PUBLIC_URL must begin with https://.",
        "31923": "the media address is not a URL that Twilio can read.",
        "31924": "a WebSocket frame broke the protocol: is something rewriting the connection?",
        "31930": "the media socket was read too slowly, so that caller audio was dropped.",
        "31931": "more than ten minutes of audio were waiting to be played, and were dropped.",
        "31951": "a message on the media socket was not one that Twilio reads.",
    }

    def hang_up(self, call_id: str, secrets: Secrets, api: str) -> HttpRequest:
        return _update(call_id, [("Status", "completed")], secrets, api)

    def redirect(self, call_id: str, url: str, secrets: Secrets, api: str) -> HttpRequest:
        return _update(call_id, [("Url", url), ("Method", "POST")], secrets, api)

    def was_over(self, response: HttpResponse) -> bool:
        return response.status == 404 or response.document.get("code") == NOT_IN_PROGRESS

    def place_call(self, order: Order, secrets: Secrets, api: str) -> HttpRequest:
        fields = [
            ("To", order.callee),
            ("From", order.caller),
            ("Url", order.answer_url),
            ("Method", "POST"),
            ("StatusCallback", order.status_url),
            *(("StatusCallbackEvent", event) for event in EVENTS),
            ("StatusCallbackMethod", "POST"),
            ("Timeout", str(order.ring_seconds)),
            ("TimeLimit", str(self.time_limit(order.max_seconds))),
        ]
        return form(f"{_calls(secrets, api)}.json", fields, _login(secrets))

    def placed(self, response: HttpResponse) -> str | None:
        sid = response.document.get("sid")
        return sid if is_call_id(sid) else None

    def complaint(self, response: HttpResponse) -> str:
        code, message = (response.document.get(name) for name in ("code", "message"))
        return " ".join(str(part) for part in (code, message) if part)

    def trouble(self, hook: Webhook) -> str | None:
        words = hook.get("StreamError") or hook.get("ErrorMessage") or ""
        code = hook.get("ErrorCode") or ""
        if hook.get("StreamEvent") != "stream-error" and not code:
            return None
        found = CODE.search(code) or CODE.search(words)
        return self.explained(found[0] if found else "", words)


def _calls(secrets: Secrets, api: str) -> str:
    return f"{api}/2010-04-01/Accounts/{quote(secrets['accountSid'], safe='')}/Calls"


def _update(call_id: str, fields: list[tuple[str, str]], secrets: Secrets, api: str) -> HttpRequest:
    url = f"{_calls(secrets, api)}/{quote(call_id, safe='')}.json"
    return form(url, fields, _login(secrets))


def _login(secrets: Secrets) -> dict[str, str]:
    return basic(secrets["accountSid"], secrets["authToken"])


CONTROL = TwilioControl()
