"""Requests to the providers' REST APIs, compared with those of the official SDKs."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx
import plivo
import pytest
import requests
from requests.adapters import BaseAdapter
from twilio.http import HttpClient
from twilio.http.response import Response
from twilio.rest import Client

from service.http_client.messages import HttpRequest, HttpResponse
from service.providers import controls, load
from service.providers.base.call_control import Order

SECRETS = {
    "twilio": {"accountSid": "AC" + "1" * 32, "authToken": "twilio secret"},
    "plivo": {"authId": "MAXXXXXXXXXXXXXXXXXX", "authToken": "plivo secret"},
    "telnyx": {"apiKey": "telnyx secret", "accountSid": "acc/1", "applicationId": "42"},
}
APIS = {name: f"https://api.{name}.com" for name in SECRETS}
CALL_IDS = {"twilio": "CA" + "2" * 32, "plivo": "a-b-c", "telnyx": "v3:a/b?c"}
ORDER = Order(
    caller="+14155550100",
    callee="+442071838750",
    answer_url="https://voice.example.com/v2/hooks/x/whk_K?placed=1",
    status_url="https://voice.example.com/v2/hooks/x/whk_K/status?placed=1",
    ring_seconds=25,
    max_seconds=600,
)


@dataclass(frozen=True)
class Sent:
    """A request as a provider receives it."""

    method: str
    url: str
    authorization: str
    fields: Any

    @classmethod
    def of(cls, method: str, url: str, headers: Any, body: Any) -> Sent:
        text = body.decode() if isinstance(body, bytes) else body or ""
        if "json" in headers.get("Content-Type", "") and text:
            fields: Any = json.loads(text)
        else:
            fields = sorted(parse_qsl(text))
        return cls(method, url, headers["Authorization"], fields or [])


def ours(request: HttpRequest) -> Sent:
    return Sent.of(request.method, request.url, request.headers, request.body)


class TwilioRecorder(HttpClient):
    def __init__(self) -> None:
        super().__init__(None, False, None)
        self.sent: Sent

    def request(self, method, url, params=None, data=None, headers=None, auth=None, **rest):
        prepared = requests.Request(method, url, data=data, headers=headers, auth=auth).prepare()
        self.sent = Sent.of(method, prepared.url, prepared.headers, prepared.body)
        return Response(201, json.dumps({"sid": CALL_IDS["twilio"]}))


def twilio_sdk(use: Callable[[Client], object]) -> Sent:
    recorder = TwilioRecorder()
    use(Client(*SECRETS["twilio"].values(), http_client=recorder))
    return recorder.sent


class PlivoRecorder(BaseAdapter):
    sent: Sent

    def send(self, request, **rest):
        self.sent = Sent.of(request.method, request.url, request.headers, request.body)
        answer = requests.Response()
        answer.status_code = 204 if request.method == "DELETE" else 201
        answer._content = b'{"request_uuid": "x"}'
        return answer

    def close(self) -> None:
        pass


def plivo_sdk(use: Callable[[plivo.RestClient], object]) -> Sent:
    recorder = PlivoRecorder()
    client = plivo.RestClient(*SECRETS["plivo"].values())
    client.session.mount("https://", recorder)
    use(client)
    return recorder.sent


def telnyx_sdk(use: Callable[[Any], object]) -> Sent:
    # It takes seconds to import, and every process that runs tests imports this file.
    from telnyx import Telnyx

    found: list[Sent] = []

    def record(request: httpx.Request) -> httpx.Response:
        headers = {"Content-Type": request.headers.get("content-type", "")}
        headers["Authorization"] = request.headers["authorization"]
        found.append(Sent.of(request.method, str(request.url), headers, request.content))
        return httpx.Response(200, json={})

    with httpx.Client(transport=httpx.MockTransport(record)) as client:
        use(Telnyx(api_key="telnyx secret", http_client=client))
    return found[0]


def placed(name: str) -> Sent:
    return ours(controls()[name].place_call(ORDER, SECRETS[name], APIS[name]))


def hung_up(name: str, secrets: dict[str, str] | None = None) -> Sent:
    return ours(controls()[name].hang_up(CALL_IDS[name], secrets or SECRETS[name], APIS[name]))


AGAIN = "https://voice.example.com/v2/hooks/x/clk_K"


def redirected(name: str, secrets: dict[str, str] | None = None) -> Sent:
    request = controls()[name].redirect(CALL_IDS[name], AGAIN, secrets or SECRETS[name], APIS[name])
    return ours(request)


def test_every_provider_has_call_control() -> None:
    assert controls().keys() == load().keys()
    assert all(name == control.provider.name for name, control in controls().items())


def test_a_twilio_dial_request_equals_its_sdk_s() -> None:
    assert placed("twilio") == twilio_sdk(
        lambda client: client.calls.create(
            to=ORDER.callee,
            from_=ORDER.caller,
            url=ORDER.answer_url,
            method="POST",
            status_callback=ORDER.status_url,
            status_callback_event=["initiated", "ringing", "answered", "completed"],
            status_callback_method="POST",
            timeout=25,
            time_limit=600,
        )
    )


def test_a_twilio_hang_up_request_equals_its_sdk_s() -> None:
    assert hung_up("twilio") == twilio_sdk(
        lambda client: client.calls(CALL_IDS["twilio"]).update(status="completed")
    )


def test_a_twilio_redirect_equals_its_sdk_s() -> None:
    assert redirected("twilio") == twilio_sdk(
        lambda client: client.calls(CALL_IDS["twilio"]).update(url=AGAIN, method="POST")
    )


def test_a_plivo_dial_request_equals_its_sdk_s() -> None:
    official = plivo_sdk(
        lambda client: client.calls.create(
            from_="14155550100",
            to_="442071838750",
            answer_url=ORDER.answer_url,
            ring_url=ORDER.status_url,
            hangup_url=ORDER.status_url,
            ring_timeout=25,
            time_limit=600,
        )
    )
    own = placed("plivo")
    assert (own.method, own.url, own.authorization) == (
        official.method,
        official.url,
        official.authorization,
    )
    # The SDK also sends default values.
    assert own.fields.items() <= official.fields.items()


def test_a_plivo_hang_up_request_equals_its_sdk_s() -> None:
    official = plivo_sdk(lambda client: client.calls.delete(CALL_IDS["plivo"]))
    # The SDK repeats the id in a body, which DELETE does not need.
    assert hung_up("plivo") == replace(official, fields=[])


def test_a_plivo_redirect_equals_its_sdk_s() -> None:
    official = plivo_sdk(
        lambda client: client.calls.transfer(
            CALL_IDS["plivo"], legs="aleg", aleg_url=AGAIN, aleg_method="POST"
        )
    )
    own = redirected("plivo")
    # The SDK repeats the id in the body.
    del official.fields["call_uuid"]
    assert own == official


def test_a_telnyx_dial_request_equals_its_sdk_s() -> None:
    body = {
        "application_sid": "42",
        "to": ORDER.callee,
        "from_": ORDER.caller,
        "url": ORDER.answer_url,
        "url_method": "POST",
        "status_callback": ORDER.status_url,
        "status_callback_event": "initiated ringing answered completed",
        "status_callback_method": "POST",
        "timeout": 25,
        "time_limit": 600,
    }
    from telnyx._utils import maybe_transform
    from telnyx.types.texml.accounts.call_calls_params import BodyWithURL

    # This release of the SDK does not translate the names; the names of the API are in its types.
    sent = maybe_transform(body, BodyWithURL)
    official = telnyx_sdk(lambda client: client.texml.accounts.calls.calls("acc/1", body=sent))
    assert placed("telnyx") == official


def test_a_telnyx_hang_up_request_equals_its_sdk_s() -> None:
    official = telnyx_sdk(
        lambda client: client.texml.accounts.calls.update(
            CALL_IDS["telnyx"], account_sid="acc/1", status="completed"
        )
    )
    own = hung_up("telnyx")
    assert urlsplit(own.url).path.rpartition("/")[2] == "v3%3Aa%2Fb%3Fc"
    # The SDK sends JSON and does not quote the colon; the documentation demands a form.
    assert own.url.replace("%3A", ":") == official.url
    assert (own.authorization, dict(own.fields)) == (official.authorization, official.fields)


def test_a_telnyx_redirect_equals_its_sdk_s() -> None:
    official = telnyx_sdk(
        lambda client: client.texml.accounts.calls.update(
            CALL_IDS["telnyx"], account_sid="acc/1", url=AGAIN, method="POST"
        )
    )
    own = redirected("telnyx")
    assert own.url.replace("%3A", ":") == official.url
    fields = {name.lower(): value for name, value in own.fields}
    said = {name.lower(): value for name, value in official.fields.items()}
    assert (own.authorization, fields) == (official.authorization, said)


def test_telnyx_redirects_by_its_older_address_if_only_the_key_is_known() -> None:
    assert redirected("telnyx", {"apiKey": "telnyx secret"}) == Sent(
        method="POST",
        url="https://api.telnyx.com/v2/texml/calls/v3%3Aa%2Fb%3Fc/update",
        authorization="Bearer telnyx secret",
        fields={"Url": AGAIN, "Method": "POST"},
    )


def test_telnyx_hangs_up_by_call_control_if_only_the_key_is_known() -> None:
    official = telnyx_sdk(lambda client: client.calls.actions.hangup("call-1"))
    request = controls()["telnyx"].hang_up("call-1", {"apiKey": "telnyx secret"}, APIS["telnyx"])
    assert ours(request) == official


@pytest.mark.parametrize(
    ("name", "response", "over"),
    [
        ("twilio", HttpResponse(404, b'{"code": 20404}'), True),
        ("twilio", HttpResponse(400, b'{"code": 21220}'), True),
        ("twilio", HttpResponse(401, b'{"code": 20003}'), False),
        ("plivo", HttpResponse(404, b""), True),
        ("plivo", HttpResponse(401, b"no json"), False),
        ("telnyx", HttpResponse(422, b'{"errors": [{"code": "90018"}]}'), True),
        ("telnyx", HttpResponse(422, b'{"errors": [{"code": "10015"}, 7]}'), False),
        ("telnyx", HttpResponse(422, b'{"errors": 7}'), False),
        ("telnyx", HttpResponse(404, b"{}"), True),
    ],
)
def test_a_call_that_is_already_over_is_distinguished_from_a_refusal(
    name: str, response: HttpResponse, over: bool
) -> None:
    assert controls()[name].was_over(response) is over


@pytest.mark.parametrize(
    ("name", "body", "call_id"),
    [
        ("twilio", {"sid": "CA1"}, "CA1"),
        ("twilio", {"sid": 7}, None),
        ("plivo", {"message": "call fired", "request_uuid": "r1", "api_id": "a"}, "r1"),
        ("plivo", [], None),
        ("telnyx", {"sid": "v3:1"}, "v3:1"),
        ("telnyx", {"call_sid": "v3:2"}, "v3:2"),
        ("telnyx", {"data": {"call_control_id": "v3:3"}}, "v3:3"),
        ("telnyx", {"from": "+1", "to": "+2", "status": "queued"}, None),
    ],
)
def test_the_id_of_a_placed_call_is_found(name: str, body: object, call_id: str | None) -> None:
    assert controls()[name].placed(HttpResponse(201, json.dumps(body).encode())) == call_id


@pytest.mark.parametrize(
    ("name", "body", "sentence"),
    [
        (
            "twilio",
            {"code": 21211, "message": "Invalid 'To'"},
            "Twilio answered 400: 21211 Invalid 'To'",
        ),
        ("plivo", {"error": "not enough credit"}, "Plivo answered 400: not enough credit"),
        ("plivo", {"error": {"error": "bad\x00 to"}}, "Plivo answered 400: bad to"),
        (
            "telnyx",
            {"errors": [{"code": "10015", "title": "Bad", "detail": "from is wrong"}]},
            "Telnyx answered 400: 10015 Bad from is wrong",
        ),
        ("telnyx", "<html>", "Telnyx answered 400"),
    ],
)
def test_a_refusal_quotes_the_provider(name: str, body: object, sentence: str) -> None:
    assert controls()[name].refusal(HttpResponse(400, json.dumps(body).encode())) == sentence


def test_no_secret_is_in_the_text_of_a_request() -> None:
    for name in SECRETS:
        for request in (
            controls()[name].place_call(ORDER, SECRETS[name], APIS[name]),
            controls()[name].hang_up("x", SECRETS[name], APIS[name]),
            controls()[name].redirect("x", AGAIN, SECRETS[name], APIS[name]),
        ):
            assert "secret" not in repr(request)
            assert "whk_" not in repr(request)
            assert "clk_" not in repr(request)
