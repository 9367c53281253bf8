"""Telnyx's REST API for TeXML, the Dial verb, and status callbacks.

https://developers.telnyx.com/api-reference/texml-rest-commands/initiate-an-outbound-call
https://developers.telnyx.com/docs/voice/programmable-voice/texml-verbs/dial
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar
from urllib.parse import quote

from service.http_client.messages import HttpRequest, HttpResponse, document, form
from service.providers.base.call_control import CallControl, Order, Secrets
from service.providers.base.provider import Webhook, is_call_id
from service.providers.telnyx import PROVIDER

EVENTS = "initiated ringing answered completed"


ENDED_ALREADY = "90018"


class TelnyxControl(CallControl):
    """A TeXML call is placed for an account by an application, so both ids are needed.

    Requests about a live call need neither. Without them the call is ended through the Call Control
    API, because Telnyx documents that a TeXML CallSid is the call's control id, and redirected
    through an older address of the TeXML API.
    """

    provider = PROVIDER
    shortest_call, longest_call = 60, 14_400
    title = "Telnyx"
    call_needs = ("apiKey",)
    place_needs = ("apiKey", "accountSid", "applicationId")

    # https://developers.telnyx.com/docs/voice/programmable-voice/media-streaming
    troubles: ClassVar[Mapping[str, str]] = {
        "100002": "an error that Telnyx does not explain.",
        "100003": "a message on the media socket was not one that Telnyx reads.",
        "100004": "audio on the media socket was not base64 of what the stream carries.",
        "100005": "audio came faster than Telnyx takes it.",
        "connection_failed": "the media socket could not be opened: is PUBLIC_URL reachable?",
    }

    def hang_up(self, call_id: str, secrets: Secrets, api: str) -> HttpRequest:
        call = quote(call_id, safe="")
        if "accountSid" in secrets:
            url = f"{_calls(secrets, api)}/{call}"
            return form(url, [("Status", "completed")], _login(secrets))
        return document(f"{api}/v2/calls/{call}/actions/hangup", {}, _login(secrets))

    def redirect(self, call_id: str, url: str, secrets: Secrets, api: str) -> HttpRequest:
        call = quote(call_id, safe="")
        if "accountSid" in secrets:
            fields = [("Url", url), ("Method", "POST")]
            return form(f"{_calls(secrets, api)}/{call}", fields, _login(secrets))
        # https://developers.telnyx.com/api-reference/texml-rest-commands/deprecated-update-call
        body = {"Url": url, "Method": "POST"}
        return document(f"{api}/v2/texml/calls/{call}/update", body, _login(secrets))

    def was_over(self, response: HttpResponse) -> bool:
        if response.status != 422:
            return response.status == 404
        return any(str(error.get("code")) == ENDED_ALREADY for error in _errors(response))

    def place_call(self, order: Order, secrets: Secrets, api: str) -> HttpRequest:
        body = {
            "ApplicationSid": secrets["applicationId"],
            "To": order.callee,
            "From": order.caller,
            "Url": order.answer_url,
            "UrlMethod": "POST",
            "StatusCallback": order.status_url,
            "StatusCallbackEvent": EVENTS,
            "StatusCallbackMethod": "POST",
            "Timeout": order.ring_seconds,
            "TimeLimit": self.time_limit(order.max_seconds),
        }
        return document(_calls(secrets, api), body, _login(secrets))

    def placed(self, response: HttpResponse) -> str | None:
        # The response's schema and the examples disagree on the name, and on an envelope.
        inner = response.document.get("data")
        for found in (response.document, inner if isinstance(inner, dict) else {}):
            for name in ("sid", "call_sid", "CallSid", "call_control_id"):
                if is_call_id(call_id := found.get(name)):
                    return call_id
        return None

    def complaint(self, response: HttpResponse) -> str:
        for error in _errors(response):
            parts = (error.get("code"), error.get("title"), error.get("detail"))
            return " ".join(str(part) for part in parts if part)
        return ""

    def trouble(self, hook: Webhook) -> str | None:
        code = hook.get("ErrorCode") or ""
        words = hook.get("StreamError") or hook.get("ErrorMessage") or ""
        if hook.get("StreamEvent") != "stream-failed" and not code:
            return None
        known = next((each for each in self.troubles if each in (code, words)), code)
        return self.explained(known, words)


def _calls(secrets: Secrets, api: str) -> str:
    return f"{api}/v2/texml/Accounts/{quote(secrets['accountSid'], safe='')}/Calls"


def _login(secrets: Secrets) -> dict[str, str]:
    return {"Authorization": f"Bearer {secrets['apiKey']}"}


def _errors(response: HttpResponse) -> list[Mapping[str, object]]:
    errors = response.document.get("errors")
    return [each for each in errors if isinstance(each, dict)] if isinstance(errors, list) else []


CONTROL = TelnyxControl()
