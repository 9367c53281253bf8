"""Plivo's REST API, the Dial verb, and status callbacks.

https://www.plivo.com/docs/voice/api/call
https://www.plivo.com/docs/voice/xml/dial
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar
from urllib.parse import quote

from service.http_client.messages import HttpRequest, HttpResponse, basic, document
from service.providers.base.call_control import CallControl, Order, Outcome, Secrets
from service.providers.base.provider import Webhook, is_call_id
from service.providers.plivo import PROVIDER

FAILED_STREAM = frozenset({"failed", "droppedstream", "degradedstream"})
"""Names of a stream's events. Plivo documents two sets with different spellings."""


class PlivoControl(CallControl):
    provider = PROVIDER
    title = "Plivo"
    call_needs = place_needs = ("authId", "authToken")
    dial_field = "DialStatus"
    outcomes: ClassVar[Mapping[str, Outcome]] = {
        "completed": Outcome.COMPLETED,
        "busy": Outcome.BUSY,
        "no-answer": Outcome.NO_ANSWER,
        "timeout": Outcome.NO_ANSWER,
        "cancel": Outcome.CANCELED,
        "failed": Outcome.FAILED,
    }
    troubles: ClassVar[Mapping[str, str]] = {
        "connection_failed": "the media socket could not be opened: is PUBLIC_URL reachable?",
        "authentication_failed": "the media socket was refused: was its reference used or expired?",
        "invalid_content_type": "the audio is not in the content type of the stream.",
        "buffer_overflow": "more audio was sent than Plivo keeps.",
        "6020": "no audio came for too long.",
        "7011": "the webhook could not be reached, or did not answer with 200 in time.",
        "7012": "the address to ask after a dial could not be reached.",
        "7014": "the address of a redirect could not be reached.",
        "8011": "the webhook's answer is not XML that Plivo understands.",
        "8012": "the answer after a dial is not XML that Plivo understands.",
        "8014": "the answer to a redirect is not XML that Plivo understands.",
    }

    def hang_up(self, call_id: str, secrets: Secrets, api: str) -> HttpRequest:
        return HttpRequest("DELETE", _call(call_id, secrets, api), _login(secrets))

    def redirect(self, call_id: str, url: str, secrets: Secrets, api: str) -> HttpRequest:
        # The "transfer" of Plivo's documentation: https://www.plivo.com/docs/voice/api/call.
        body = {"legs": "aleg", "aleg_url": url, "aleg_method": "POST"}
        return document(_call(call_id, secrets, api), body, _login(secrets))

    def was_over(self, response: HttpResponse) -> bool:
        return response.status == 404

    def place_call(self, order: Order, secrets: Secrets, api: str) -> HttpRequest:
        body = {
            "from": self.number(order.caller),
            "to": self.number(order.callee),
            "answer_url": order.answer_url,
            "answer_method": "POST",
            "ring_url": order.status_url,
            "ring_method": "POST",
            "hangup_url": order.status_url,
            "hangup_method": "POST",
            "ring_timeout": order.ring_seconds,
            "time_limit": self.time_limit(order.max_seconds),
        }
        return document(_calls(secrets, api), body, _login(secrets))

    def placed(self, response: HttpResponse) -> str | None:
        # For a call to one number this seems to equal the CallUUID of the webhooks, which replaces
        # it in any case.
        request_uuid = response.document.get("request_uuid")
        return request_uuid if is_call_id(request_uuid) else None

    def complaint(self, response: HttpResponse) -> str:
        error = response.document.get("error", "")
        return str(error.get("error", error) if isinstance(error, dict) else error)

    def outcome(self, hook: Webhook) -> Outcome | None:
        if hook.get("StreamID") is not None:
            return None
        outcome = self.outcomes.get(hook.get("CallStatus") or "")
        if outcome is None and hook.get("Event") == "Hangup":
            return Outcome.COMPLETED
        return outcome

    def trouble(self, hook: Webhook) -> str | None:
        if hook.get("StreamID") is not None:
            event, reason = hook.get("Event") or "", hook.get("StatusReason") or ""
            failed = event.lower() in FAILED_STREAM or reason in self.troubles
            if not failed:
                return None
            return self.explained(reason if reason in self.troubles else "", reason or event)
        code = hook.get("HangupCauseCode") or ""
        return self.explained(code, "") if code in self.troubles else None

    def number(self, e164: str) -> str:
        return e164.removeprefix("+")


def _calls(secrets: Secrets, api: str) -> str:
    return f"{api}/v1/Account/{quote(secrets['authId'], safe='')}/Call/"


def _call(call_id: str, secrets: Secrets, api: str) -> str:
    return f"{_calls(secrets, api)}{quote(call_id, safe='')}/"


def _login(secrets: Secrets) -> dict[str, str]:
    return basic(secrets["authId"], secrets["authToken"])


CONTROL = PlivoControl()
