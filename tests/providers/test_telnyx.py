"""Telnyx's contract, codecs, and spellings of parameters and errors."""

from __future__ import annotations

from typing import ClassVar
from urllib.parse import urlencode
from xml.etree import ElementTree

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from service.domain.calls import Refusal
from service.domain.wire import (
    Audio,
    Complaint,
    Digit,
    Encoding,
    Event,
    Fence,
    Flush,
    Ignored,
    Play,
    Played,
    Started,
    Stopped,
)
from service.errors import RemoteError
from service.providers.base.provider import Arrival, Notice, Webhook
from service.providers.base.signatures import Secrets
from service.providers.telnyx import PROVIDER
from tests.support import signers
from tests.support.provider_contract import ProviderContract
from tests.support.signers import posted
from tests.support.wire_contract import compact

CALL = "v3:9X2vxPDFY2RHSJ1EdMS0RHRksMTg7ldNxdjWVVr9zBjbGjGsSe-aiQ"
STREAM = "32de0dea-53cb-4b21-89a4-9e1819c043bc"
ACCOUNT = "3e6f995f-85f7-4705-9741-53b116d28237"
VOICE = {
    "AccountSid": ACCOUNT,
    "CallSid": CALL,
    "CallSidLegacy": CALL,
    "CallStatus": "ringing",
    "CallerId": "+13122010094",
    "CallingPartyType": "pstn",
    "ConnectionId": "1684641123236054244",
    "From": "+13122010094",
    "FromSipUri": "+13122010094@sip.telnyx.com",
    "To": "+13122123456",
    "ToSipUri": "+13122123456@sip.telnyx.com",
}
START = {
    "event": "start",
    "sequence_number": "1",
    "stream_id": STREAM,
    "start": {
        "user_id": ACCOUNT,
        "call_control_id": CALL,
        "call_session_id": "ff55a038-6f5d-11ef-9692-02420aeffb1f",
        "from": "+13122010094",
        "to": "+13122123456",
        "tags": [],
        "client_state": "aGF2",
        "custom_parameters": {"ref": "REF"},
        "media_format": {"encoding": "PCMU", "sample_rate": 8000, "channels": 1},
    },
}
MEDIA = {
    "event": "media",
    "sequence_number": "4",
    "stream_id": STREAM,
    "media": {"track": "inbound", "chunk": "2", "timestamp": "5", "payload": "//8="},
}


class TestTelnyx(ProviderContract):
    provider = PROVIDER
    secrets: ClassVar[Secrets] = {"publicKey": (signers.public_key(signers.TELNYX_KEY),)}
    other_secrets: ClassVar[Secrets] = {
        "publicKey": (signers.public_key(Ed25519PrivateKey.from_private_bytes(b"x" * 32)),)
    }
    signed_parts = frozenset(("body",))
    tolerance = 300
    signature_headers = frozenset(("telnyx-signature-ed25519", "telnyx-timestamp"))
    good_values = (
        ("publicKey", "A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg="),
        ("apiKey", "KEY0123456789ABCDEF_abcdefghij"),
    )
    bad_values = (
        ("publicKey", ""),
        ("publicKey", "A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg"),
        ("publicKey", "KEY0123456789ABCDEF_abcdefghij"),
        ("publicKey", "é" * 44),
        ("apiKey", "two words"),
    )

    def signed_hook(self, url: str, form: tuple[tuple[str, str], ...]) -> Webhook:
        seconds = self.signed_at // 1000
        headers = signers.telnyx(signers.TELNYX_KEY, urlencode(form).encode(), seconds)
        return posted(url, form, headers)

    def upgrade(self, url: str) -> Webhook:
        return Webhook(url=url, method="GET")

    arrival = (VOICE, Arrival(CALL, "+13122010094", "+13122123456", False))
    redirected = (
        {**VOICE, "CallStatus": "in-progress", "From": "sip:ann@example.com"},
        Arrival(CALL, "sip:ann@example.com", "+13122123456", False),
    )
    notices = (
        *(
            (
                {**VOICE, "CallbackSource": "call-progress-events", "CallStatus": status},
                Notice(CALL, over, status),
            )
            for status, over in (
                ("initiated", False),
                ("in-progress", False),
                ("completed", True),
                ("canceled", True),
            )
        ),
        ({"CallSid": CALL, "CallbackSource": "call-cost-events"}, Notice(CALL, False, None)),
        ({**VOICE, "CallStatus": "busy"}, Notice(CALL, True, "busy")),
    )
    parameters = "start.custom_parameters"
    media_format, rate = "start.media_format", "sample_rate"
    needed = frozenset(
        (
            "start.media_format.encoding",
            "start.media_format.sample_rate",
            "start.media_format.channels",
        )
    )
    start = START
    started = Started(Encoding.MULAW, Encoding.MULAW, CALL, "REF")
    media = MEDIA
    payload_path = ("media", "payload")
    decoded = (
        ({"event": "connected", "version": "1.0.0"}, []),
        (MEDIA, [Audio(b"\xff\xff", order=2)]),
        ({**MEDIA, "media": {**MEDIA["media"], "chunk": 3}}, [Audio(b"\xff\xff", order=3)]),
        ({**MEDIA, "media": {**MEDIA["media"], "track": "outbound"}}, [Ignored("track")]),
        ({"event": "media", "media": {"payload": "//8="}}, [Audio(b"\xff\xff")]),
        ({**MEDIA, "error": None}, [Audio(b"\xff\xff", order=2)]),
        (
            {
                "event": "dtmf",
                "stream_id": STREAM,
                "occurred_at": "2025-06-05T08:54:19.698408Z",
                "sequence_number": "5",
                "dtmf": {"digit": "1"},
            },
            [Digit("1")],
        ),
        ({"event": "dtmf", "dtmf": {"digit": "d"}}, [Digit("D")]),
        (
            {"event": "mark", "stream_id": STREAM, "sequence_number": "5", "mark": {"name": "m1"}},
            [Played("m1")],
        ),
        (
            {
                "event": "error",
                "stream_id": STREAM,
                "payload": {"code": 100004, "title": "invalid_media", "detail": "Not base64."},
            },
            [Complaint("100004", "Not base64.")],
        ),
        (
            {"error": {"title": "rate_limit_reached", "code": "100005", "detail": "Too many."}},
            [Complaint("100005", "Too many.")],
        ),
        (
            {"event": "error", "error": {"title": "unknown_error", "code": "100002"}},
            [Complaint("100002", "unknown_error")],
        ),
        (
            {
                "event": "stop",
                "sequence_number": "5",
                "stream_id": STREAM,
                "stop": {"user_id": ACCOUNT, "call_control_id": CALL},
            },
            [Stopped()],
        ),
    )
    encoded = (
        (Play(b"\xff\xff"), {"event": "media", "media": {"payload": "//8="}}),
        (Fence("m1"), {"event": "mark", "mark": {"name": "m1"}}),
        (Flush(), {"event": "clear"}),
    )
    early = frozenset(("media", "dtmf", "mark"))


def with_start(**changes: object) -> bytes:
    return compact({**START, "start": {**START["start"], **changes}})


@pytest.mark.parametrize(
    ("name", "encoding"),
    [
        ("PCMU", Encoding.MULAW),
        ("audio/PCMU", Encoding.MULAW),
        ("PCMA", Encoding.ALAW),
        ("pcma", Encoding.ALAW),
        ("audio/x-mulaw", Encoding.MULAW),
        ("audio/x-alaw", Encoding.ALAW),
        ("audio/PCMA/8000/1", Encoding.ALAW),
        ("G711a;rate=8000", Encoding.ALAW),
    ],
)
def test_the_caller_is_heard_in_the_codec_of_the_line(name: str, encoding: Encoding) -> None:
    """Sent audio stays PCMU: the markup demands it, and the directions are independent."""
    message = with_start(media_format={"encoding": name, "sample_rate": 8000, "channels": 1})
    assert PROVIDER.wire().receive(message) == [Started(encoding, Encoding.MULAW, CALL, "REF")]


@pytest.mark.parametrize("name", ["G722", "OPUS", "AMR-WB", "L16"])
def test_codecs_that_cannot_be_decoded_close_with_1003(name: str) -> None:
    message = with_start(media_format={"encoding": name, "sample_rate": 8000, "channels": 1})
    with pytest.raises(RemoteError) as caught:
        PROVIDER.wire().receive(message)
    assert caught.value.close_code == 1003


@pytest.mark.parametrize("name", ["stream_id", "call_control_id"])
def test_a_start_needs_one_of_its_ids_of_any_type(name: str) -> None:
    """No message to Telnyx contains the stream id, and the reference identifies the call."""
    start = {"media_format": {"encoding": "PCMA"}, "call_control_id": None}
    message = compact({"event": "start", "start": {**start, name: ["?"]}})
    started, *_ = PROVIDER.wire().receive(message)
    assert started == Started(Encoding.ALAW, Encoding.MULAW)


@pytest.mark.parametrize("chunk", [2, 2.0, "2", "2.0", " 2", "0002"])
def test_a_chunk_number_is_read_in_every_spelling(chunk: object) -> None:
    assert heard(chunk) == [Audio(b"\xff\xff", order=2)]


@pytest.mark.parametrize(
    "chunk", ["-1", -1, "1_0", "٣", "9" * 19, 10**18, 1e300, "9" * 5000, 1.5, True, "x", [], {}]
)
def test_a_chunk_without_a_number_is_heard_in_arrival_order(chunk: object) -> None:
    assert heard(chunk) == [Audio(b"\xff\xff"), Ignored("chunk")]


def heard(chunk: object) -> list[Event]:
    wire = PROVIDER.wire()
    wire.receive(compact(START))
    message = compact({**MEDIA, "media": {**MEDIA["media"], "chunk": chunk}})
    events = wire.receive(message)
    # The fast path must agree with it.
    assert wire.audio(message) in (None, events[0])
    return events


@pytest.mark.parametrize(
    "error", ["too_fast", {"detail": "too_fast"}, {"title": "too_fast", "code": []}]
)
def test_the_readable_part_of_an_error_is_kept(error: object) -> None:
    message = compact({"event": "error", "payload": error})
    assert PROVIDER.wire().receive(message) == [Complaint("error", "too_fast")]


def test_the_call_id_of_the_stream_is_no_proof() -> None:
    wire = PROVIDER.wire()
    assert (wire.names_call, wire.close_ends_call, wire.paces_itself) == (False, False, True)


def test_the_answer_is_the_documented_markup() -> None:
    """Telnyx has no markup builder: compare with its documentation's Connect example."""
    documented = """<Response>
      <Connect>
        <Stream url="wss://voice.example.com/telnyx/REF" track="inbound_track" codec="PCMU"
                bidirectionalMode="rtp" bidirectionalCodec="PCMU" bidirectionalSamplingRate="8000"
                enableReconnect="false">
          <Parameter name="ref" value="REF"/>
        </Stream>
      </Connect>
      <Redirect method="POST">https://voice.example.com/hook</Redirect>
    </Response>"""
    markup = PROVIDER.answer(
        "wss://voice.example.com/telnyx/REF", "REF", "https://voice.example.com/hook"
    )
    assert canonical(markup.text) == canonical(documented)


def test_a_question_is_the_documented_markup() -> None:
    """Telnyx's Gather has no method; its other attributes are in the documentation's table."""
    documented = """<Response>
      <Gather input="dtmf" action="https://voice.example.com/gather?try=1" numDigits="6"
              timeout="10" finishOnKey="#">
        <Say>Your PIN, please.</Say>
      </Gather>
      <Redirect method="POST">https://voice.example.com/gather?try=1</Redirect>
    </Response>"""
    markup = PROVIDER.ask("Your PIN, please.", 6, "https://voice.example.com/gather?try=1")
    assert canonical(markup.text) == canonical(documented)


@pytest.mark.parametrize("reason", list(Refusal))
def test_a_refusal_rejects_the_call(reason: Refusal) -> None:
    expected = f'<Response><Reject reason="{reason}"/></Response>'
    assert canonical(PROVIDER.refuse(reason).text) == canonical(expected)


def canonical(xml: str) -> str:
    return ElementTree.canonicalize(xml, strip_text=True)
