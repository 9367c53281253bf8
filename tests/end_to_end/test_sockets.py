"""Media sockets on a real server: accepted and refused upgrades, and their cost for others."""

from __future__ import annotations

import json
import re
import socket
from contextlib import ExitStack
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import urlopen
from xml.etree.ElementTree import fromstring

import pytest
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from service.clock import SystemClock
from service.simulator.providers import markup, registry
from service.simulator.scenario import CALLEE, CALLER
from tests.support.patchbays import Patchbay, running_patchbay
from tests.support.servers import PATIENCE
from tests.support.upgrades import text_frame, upgrade

START = text_frame(b'{"event":"start"}')


def answered(url: str, call_id: str) -> str:
    """Return the media URL in the answer to a Twilio webhook."""
    fields = {"CallSid": call_id, "From": "+14155550100", "To": "+14155550199"}
    with urlopen(url, urlencode(fields).encode(), timeout=PATIENCE) as answer:
        assert answer.headers["Content-Type"] == "text/xml; charset=utf-8"
        stream = next(fromstring(answer.read()).iter("Stream"))
        return str(stream.get("url"))


def phone_url(patchbay: Patchbay, provider: str) -> str:
    """Return the media URL in the answer to a first call."""
    webhook = patchbay.webhook(provider, "room-1")
    call = registry.of(webhook)(CALLER, CALLEE, SystemClock())
    with urlopen(webhook, urlencode(call.webhook()).encode(), timeout=PATIENCE) as answer:
        verbs = markup.parse(answer.read(), call.readers)
    return next(verb.url for verb in verbs if isinstance(verb, markup.Stream))


def test_a_reference_opens_one_socket_and_a_second_one_is_refused_before_the_upgrade(
    patchbay: Patchbay,
) -> None:
    url = patchbay.invite("room-1")["wsUrl"]
    status, _, first = upgrade(url)
    with first:
        assert status == 101
        again, head, second = upgrade(url)
        with second:
            assert again == 410
            assert b"application/json" in head


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/videosdk?ref=vs_00000000000000000000", 404),
        ("/videosdk", 404),
        ("/twilio/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", 404),
        ("/plivo/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", 404),
        ("/vonage/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", 404),
    ],
)
def test_an_unknown_reference_is_refused_before_the_upgrade(
    patchbay: Patchbay, path: str, status: int
) -> None:
    found, _, connection = upgrade(patchbay.url + path)
    connection.close()
    assert found == status


def test_a_reference_of_another_provider_is_unknown(patchbay: Patchbay) -> None:
    url = answered(patchbay.webhook("twilio", "room-1"), "CA-other")
    status, _, connection = upgrade(url.replace("/twilio/", "/telnyx/"))
    connection.close()
    assert status == 404


@pytest.mark.parametrize(
    "change",
    [
        {"Sec_WebSocket_Key": None},
        {"Sec_WebSocket_Key": "short"},
        {"Sec_WebSocket_Version": "8"},
        {"Connection": "close"},
    ],
)
def test_an_invalid_handshake_does_not_use_the_reference(
    patchbay: Patchbay, change: dict[str, str | None]
) -> None:
    url = patchbay.invite("room-1")["wsUrl"]
    status, _, connection = upgrade(url, **change)
    connection.close()
    assert status == 400
    status, _, connection = upgrade(url)
    connection.close()
    assert status == 101


@pytest.mark.parametrize(
    ("offer", "answer"),
    [
        ("chat", "chat"),
        ("chat, superchat", "chat"),
        ("chat,superchat", "chat"),
        (" \t chat\t, superchat ", "chat"),
        (",, chat,", "chat"),
        ("chat\r\nSec-WebSocket-Protocol: superchat", "chat"),
        ("\r\nSec-WebSocket-Protocol: superchat", "superchat"),
        ("no name, chat", "chat"),
        ("\"chat\", 'chat'", "'chat'"),
        ("v1.x-y_z!#$%&'*+^`|~", "v1.x-y_z!#$%&'*+^`|~"),
        ("access_token, eyJhbGciOiJIUzI1NiJ9.e30.c2ln", "access_token"),
        ("x" * 5000, "x" * 5000),
        ("", None),
        (" , ,", None),
    ],
    ids=lambda value: str(value)[:20],
)
def test_the_first_offered_subprotocol_is_answered(
    patchbay: Patchbay, offer: str, answer: str | None
) -> None:
    url = patchbay.invite("room-1")["wsUrl"]
    status, head, connection = upgrade(url, Sec_WebSocket_Protocol=offer)
    connection.close()
    assert status == 101
    found = re.findall(r"sec-websocket-protocol: ([^\r]*)\r", head.decode().lower())
    assert found == ([] if answer is None else [answer.lower()])


@pytest.mark.parametrize("provider", ["twilio", "plivo", "telnyx"])
def test_a_provider_that_offers_a_subprotocol_is_answered(
    patchbay: Patchbay, provider: str
) -> None:
    url = phone_url(patchbay, provider)
    status, head, connection = upgrade(url, Sec_WebSocket_Protocol="audio, media")
    connection.close()
    assert status == 101
    assert b"sec-websocket-protocol: audio\r\n" in head.lower()


@pytest.mark.parametrize("offer", ["no name", "chät", "a/b", "(chat)", "chat;v=1", "\x7f"])
def test_an_empty_subprotocol_offer_is_refused_and_does_not_use_the_reference(
    patchbay: Patchbay, offer: str
) -> None:
    url = patchbay.invite("room-1")["wsUrl"]
    status, _, connection = upgrade(url, Sec_WebSocket_Protocol=offer)
    connection.close()
    assert status == 400
    status, _, connection = upgrade(url)
    connection.close()
    assert status == 101


def test_a_client_that_offers_subprotocols_is_accepted(patchbay: Patchbay) -> None:
    url = patchbay.invite("offers")["wsUrl"]
    with connect(url, subprotocols=[Subprotocol("v2.chat"), Subprotocol("chat")]) as client:
        assert client.subprotocol == "v2.chat"
        client.send('{"event":"start"}')
        assert json.loads(client.recv(PATIENCE))["event"] == "meeting-joined"


def test_compression_is_declined(patchbay: Patchbay) -> None:
    url = patchbay.invite("room-1")["wsUrl"]
    status, head, connection = upgrade(url, Sec_WebSocket_Extensions="permessage-deflate")
    connection.close()
    assert status == 101
    assert b"sec-websocket-extensions" not in head.lower()


def test_a_hundred_open_sockets_leave_all_request_threads_free(patchbay: Patchbay) -> None:
    webhook = patchbay.webhook("twilio", "crowded")
    with ExitStack() as sockets:
        for number in range(100):
            url = patchbay.invite("crowded", participant={"id": f"p{number}"})["wsUrl"]
            status, _, connection = upgrade(url)
            sockets.enter_context(connection)
            assert status == 101
            connection.sendall(START)
        assert patchbay.server.get("/healthz") == 200
        assert patchbay.server.get("/readyz") == 200
        assert answered(webhook, "CA-crowded").startswith("ws://")
        # One more than the server has threads, all at once: no thread waits for a socket.
        with ExitStack() as requests:
            waiting = [
                requests.enter_context(socket.create_connection(_address(patchbay), PATIENCE))
                for _ in range(17)
            ]
            for connection in waiting:
                connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            for connection in waiting:
                assert connection.recv(4096).startswith(b"HTTP/1.1 200")


def _address(patchbay: Patchbay) -> tuple[str, int]:
    host, _, port = patchbay.url.removeprefix("http://").partition(":")
    return host, int(port)


def test_calls_over_the_limit_hear_busy_and_agents_get_503(tmp_path: Path) -> None:
    with running_patchbay(tmp_path, MAX_CALLS="1") as patchbay:
        webhook = patchbay.webhook("plivo", "room-1")
        patchbay.invite("room-1")
        status, answer = patchbay.ask("POST", "/v2/ingest/sessions", {"roomId": "room-1"})
        assert (status, answer["statusCode"]) == (503, 503)
        fields = urlencode({"CallUUID": "u-1", "From": "14155550100", "To": "14155550199"})
        with urlopen(webhook, fields.encode(), timeout=PATIENCE) as busy:
            assert b'<Hangup reason="busy" />' in busy.read()
        call = patchbay.calls()[0]
        assert (call["status"], call["endReason"]) == ("rejected", "busy")


def test_no_log_line_contains_a_webhook_key_or_a_reference(tmp_path: Path) -> None:
    with running_patchbay(tmp_path, LOG_LEVEL="debug") as patchbay:
        webhook = patchbay.webhook("twilio", "room-1")
        media = answered(webhook, "CA-1")
        invited = patchbay.invite("room-1")["wsUrl"]
        for url in (media, invited, invited):
            _, _, connection = upgrade(url)
            connection.close()
        patchbay.server.stop()
        for url in (webhook, media):
            assert url.rpartition("/")[2] not in patchbay.server.output
        assert invited.rpartition("=")[2] not in patchbay.server.output


def test_only_get_uses_a_reference(patchbay: Patchbay) -> None:
    url = patchbay.invite("room-1")["wsUrl"]
    for method in ("HEAD", "POST", "OPTIONS"):
        status, _, connection = upgrade(url, method=method)
        connection.close()
        assert status in (400, 405)
    status, _, connection = upgrade(url)
    connection.close()
    assert status == 101


@pytest.mark.parametrize("ending", ["/", "//", "%20", "%09/", "%E2%80%8B", "/?a=1"])
def test_a_webhook_is_answered_at_its_pasted_address(patchbay: Patchbay, ending: str) -> None:
    hook = patchbay.webhook("twilio", "room-1").replace("/v2/hooks/", "//v2//hooks/")
    assert "/twilio/" in answered(hook + ending, f"CA-pasted-{ending}")


def test_a_webhook_by_get_may_be_long(patchbay: Patchbay) -> None:
    call = urlencode({"CallSid": "CA-long", "From": "+14155550100", "To": "+14155550199"})
    address = f"{patchbay.webhook('twilio', 'room-1')}?{call}&SipHeader_X="
    with urlopen(address + 30_000 * "x", timeout=PATIENCE) as answer:
        assert b"<Stream" in answer.read()
    with pytest.raises(HTTPError) as refused, urlopen(address + 40_000 * "x", timeout=PATIENCE):
        pass
    with refused.value as error:
        assert json.load(error) == {"message": "The request line is too long.", "statusCode": 414}


def test_frames_right_after_the_handshake_are_read(patchbay: Patchbay) -> None:
    url = patchbay.invite("room-early")["wsUrl"]
    status, _, connection = upgrade(url, early=START)
    with connection:
        assert status == 101
        # The answer to the start message.
        assert b"room-early" in connection.recv(4096)
