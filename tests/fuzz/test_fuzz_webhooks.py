"""Fuzz test of provider requests: any request gives a valid value or RemoteError."""

from __future__ import annotations

import json
from contextlib import suppress
from urllib.parse import urlencode

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from service.errors import BadSignature, RemoteError
from service.http_client.messages import HttpResponse
from service.providers import controls, load
from service.providers.base.call_control import MAX_COMPLAINT, CallControl, News, Outcome
from service.providers.base.provider import (
    MAX_FIELD,
    Arrival,
    Notice,
    Provider,
    Webhook,
    is_call_id,
)
from tests.support import signers
from tests.support.fuzzing import json_values, texts

PROVIDERS = load()
CONTROLS = controls()

# The longest explanation of a code, or the provider's text, with the code and the provider's name.
MAX_TROUBLE = 2 * MAX_COMPLAINT + 40

NAMES = [
    *("CallSid", "CallUUID", "CallStatus", "CallbackSource", "From", "To", "Digits", "AccountSid"),
    *("Event", "HangupCause", "HangupCauseCode", "StreamID", "StreamEvent", "StreamError"),
    *("ErrorCode", "ErrorMessage", "StatusReason", "DialCallStatus", "DialStatus", "bodySHA256"),
]
VALUES = [
    *("ringing", "in-progress", "completed", "busy", "no-answer", "failed", "canceled", "timeout"),
    *(
        "Hangup",
        "stream-failed",
        "stream-error",
        "connection_failed",
        "buffer_overflow",
        "answered",
    ),
    *("31920", "6020", "100003", "NORMAL_CLEARING", "+14155550100", "14155550100", " 14155550100"),
    *("anonymous", "+266696687", "sip:a@b", "client:ann", "CA1", "0" * 15, "1" * 16),
]
HEADERS = [
    *("X-Twilio-Signature", "X-Twilio-Webhooks-Signature-Settings", "Content-Type"),
    *("X-Plivo-Signature-V2", "X-Plivo-Signature-V2-Nonce", "X-Plivo-Signature-Ma-V3"),
    *("X-Plivo-Signature-V3", "X-Plivo-Signature-V3-Nonce"),
    *("telnyx-signature-ed25519", "telnyx-timestamp"),
]
SECRETS = {
    "authToken": ("token", "é"),
    "publicKey": ("c2hvcnQ=", "no base64", signers.public_key(signers.TELNYX_KEY)),
}

values = texts | st.sampled_from(VALUES)
said = st.lists(st.tuples(st.sampled_from(NAMES) | texts, values), max_size=8)
named = st.tuples(st.sampled_from(["CallSid", "CallUUID"]), values).map(lambda pair: [pair])
forms = st.builds(lambda first, rest: tuple(first + rest), named | st.just([]), said)

# WSGI decodes the bytes of path and query as Latin-1.
queries = st.binary(max_size=40).map(lambda raw: raw.decode("latin-1")) | forms.map(urlencode)
headers = st.dictionaries(
    st.sampled_from(HEADERS),
    values | st.sampled_from(["algorithm=HMAC_SHA256", "application/json", "1700000000", "a,b,"]),
)


@st.composite
def hooks(draw: st.DrawFn) -> Webhook:
    query = draw(st.just("") | queries)
    scheme = draw(st.sampled_from(["https", "https", "wss"]))
    return Webhook(
        form=draw(st.just(()) | forms),
        url=f"{scheme}://voice.example.com/v2/hooks/x/whk_1" + (query and f"?{query}"),
        method=draw(st.sampled_from(["GET", "POST"])),
        headers=draw(headers),
        body=draw(st.binary(max_size=40)),
    )


def is_fit(text: str, length: int) -> bool:
    """Return whether a text can be stored, logged and displayed."""
    return text.isprintable() and len(text) <= length


@pytest.mark.hypothesis
@pytest.mark.parametrize("provider", PROVIDERS.values(), ids=PROVIDERS)
def test_a_voice_webhook_gives_an_arrival_or_a_notice_or_a_remote_error(provider: Provider) -> None:
    named = (provider.call_id_field, "1")
    cause = provider.cause_field

    @given(hooks())
    @example(Webhook((named, ("From", "a\0"), ("To", "b\x7f"))))
    @example(Webhook((named, ("From", "a" * 300), ("To", "b" * 300))))
    @example(Webhook((named, ("CallbackSource", "x"), (cause, "a\0"))))
    @example(Webhook((named, ("CallbackSource", "x"), (cause, "\0"))))
    def check(hook: Webhook) -> None:
        assert isinstance(provider.digits(hook), str)
        try:
            found = provider.parse(hook)
        except RemoteError:
            assert not is_call_id(hook.get(provider.call_id_field))
            return
        assert found.call_id
        assert is_fit(found.call_id, MAX_FIELD)
        match found:
            case Arrival(_, caller, callee, _):
                assert is_fit(caller, MAX_FIELD)
                assert is_fit(callee, MAX_FIELD)
            case Notice(_, _, detail):
                assert detail is None or (detail and is_fit(detail, MAX_FIELD))

    check()


@pytest.mark.hypothesis
@pytest.mark.parametrize("provider", PROVIDERS.values(), ids=PROVIDERS)
def test_an_invented_signature_is_refused(provider: Provider) -> None:
    secrets = {
        each.name: SECRETS[each.name] for each in provider.credentials if each.name in SECRETS
    }

    @given(hooks(), st.integers(0, 2**41))
    def check(hook: Webhook, now: int) -> None:
        provider.verify(hook, {}, now)
        with suppress(BadSignature):
            provider.verify(hook, secrets, now)
            assert hook.is_upgrade
            assert not provider.signs_upgrades

    check()


@pytest.mark.hypothesis
@pytest.mark.parametrize("control", CONTROLS.values(), ids=CONTROLS)
def test_a_callback_gives_news_or_a_remote_error(control: CallControl) -> None:
    name = control.provider.call_id_field

    @given(hooks())
    @example(Webhook(((name, "1"), (control.provider.cause_field, "\0"))))
    @example(Webhook(((name, "1"), ("ErrorCode", "\0"))))
    @example(Webhook(((name, "1"), ("ErrorCode", "7" * 5000))))
    def check(hook: Webhook) -> None:
        assert isinstance(control.dialled(hook), Outcome)
        try:
            news = control.news(hook)
        except RemoteError:
            assert not is_call_id(hook.get(name))
            return
        assert isinstance(news, News)
        assert is_fit(news.call_id, MAX_FIELD)
        assert news.outcome is None or isinstance(news.outcome, Outcome)
        assert news.cause is None or (news.cause and is_fit(news.cause, MAX_FIELD))
        assert news.trouble is None or (news.trouble and is_fit(news.trouble, MAX_TROUBLE))

    check()


ANSWERS = ["sid", "call_sid", "call_control_id", "request_uuid", "code", "message", "error"]


@pytest.mark.hypothesis
@pytest.mark.parametrize("control", CONTROLS.values(), ids=CONTROLS)
def test_a_provider_response_gives_a_call_id_or_a_reason_or_nothing(
    control: CallControl,
) -> None:
    documents = st.dictionaries(st.sampled_from([*ANSWERS, "data", "errors"]), json_values)
    nested = st.dictionaries(st.sampled_from(ANSWERS), json_values)

    @given(
        st.sampled_from([200, 400, 404, 422, 500]),
        st.binary(max_size=20)
        | documents.map(lambda each: json.dumps(each).encode())
        | nested.map(lambda each: json.dumps({"data": each, "errors": [each]}).encode()),
    )
    def check(status: int, body: bytes) -> None:
        response = HttpResponse(status, body)
        assert isinstance(control.was_over(response), bool)
        placed = control.placed(response)
        assert placed is None or (placed and is_fit(placed, MAX_FIELD))
        assert is_fit(control.refusal(response), MAX_COMPLAINT + 40)

    check()
