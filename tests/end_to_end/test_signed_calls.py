"""Calls on connectors with credentials: only signed ones are accepted."""

from __future__ import annotations

import json
import subprocess
import sys
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import urlencode, urlsplit
from urllib.request import Request, urlopen
from xml.etree.ElementTree import fromstring

import pytest

from service.clock import SystemClock
from service.simulator.phone import Phone
from service.simulator.scenario import Scenario
from tests.support import signers
from tests.support.patchbays import Patchbay, running_patchbay
from tests.support.paths import ROOT
from tests.support.servers import PATIENCE, environment
from tests.support.signers import FORM
from tests.support.upgrades import upgrade

TOKEN, OTHER = "0123456789abcdef" * 2, "fedcba9876543210" * 2
ACCOUNT = "AC" + "7" * 32
CREDENTIALS: dict[str, dict[str, object]] = {
    "twilio": {"accountSid": ACCOUNT, "authToken": TOKEN},
    "plivo": {"authId": "MA0123456789ABCDEFGH", "authToken": [OTHER, TOKEN]},
    "telnyx": {"publicKey": signers.public_key(signers.TELNYX_KEY)},
}
KEYS = {"twilio": TOKEN, "plivo": TOKEN, "telnyx": b64encode(bytes(range(32))).decode()}
WRONG = {"twilio": OTHER, "plivo": "another", "telnyx": b64encode(bytes(32)).decode()}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="module")
def patchbay(data: Path) -> Iterator[Patchbay]:
    with running_patchbay(data) as patchbay:
        yield patchbay


def connect(patchbay: Patchbay, provider: str) -> str:
    """Create a connector with credentials and return its webhook URL."""
    fields = {"provider": provider, "defaultRoomId": "signed"}
    status, answer = patchbay.ask(
        "POST", "/v2/connectors", {**fields, "credentials": CREDENTIALS[provider]}
    )
    assert (status, answer["data"]["credentials"]) == (201, sorted(CREDENTIALS[provider]))
    return str(answer["data"]["webhookUrl"])


def plan(webhook_url: str, provider: str, key: str | None) -> Scenario:
    account = ACCOUNT if provider == "twilio" else None
    return Scenario(
        webhook_url=webhook_url, seconds=60, loop=True, signing_key=key, account=account
    )


def send(url: str, fields: signers.Pairs, headers: dict[str, str]) -> tuple[int, bytes]:
    request = Request(
        url, urlencode(fields).encode(), {"Content-Type": FORM, **headers}, method="POST"
    )
    try:
        with urlopen(request, timeout=PATIENCE) as answer:
            return answer.status, answer.read()
    except HTTPError as error:
        with error:
            return error.code, error.read()


@pytest.mark.parametrize("provider", CREDENTIALS)
def test_a_signed_call_enters_the_room_and_returns_to_it(patchbay: Patchbay, provider: str) -> None:
    phone = Phone(plan(connect(patchbay, provider), provider, KEYS[provider])).start()
    try:
        phone.wait_for("first-audio")
        if provider != "plivo":  # whose socket, once closed, ends the call
            phone.drop()
            phone.wait_for("start", count=2)
    finally:
        phone.hang_up()
        phone.join(PATIENCE)
    assert phone.report.ended == "caller-hung-up", phone.report
    assert phone.report.problems == ()
    assert phone.report.redirects == (0 if provider == "plivo" else 1)


@pytest.mark.parametrize("keys", [WRONG, dict.fromkeys(KEYS)], ids=["wrong", "none"])
@pytest.mark.parametrize("provider", CREDENTIALS)
def test_a_call_signed_with_another_key_is_refused(
    patchbay: Patchbay, provider: str, keys: dict[str, str | None]
) -> None:
    before = len(patchbay.calls())
    phone = Phone(plan(connect(patchbay, provider), provider, keys[provider])).start()
    phone.join(PATIENCE)
    assert phone.report.failure == (
        f"{patchbay.url} answered the webhook with 403; "
        "is it signed with the connector's credentials?"
    )
    assert len(patchbay.calls()) == before


@pytest.mark.parametrize("provider", CREDENTIALS)
def test_a_modified_request_is_refused_with_an_empty_403(patchbay: Patchbay, provider: str) -> None:
    url = connect(patchbay, provider)
    fields = [
        ("AccountSid", ACCOUNT),
        ("CallSid", f"CA-{provider}"),
        ("CallUUID", "u-1"),
        ("From", "+14155550100"),
        ("To", "+14155550199"),
    ]
    good = signed(provider, url, fields)
    assert send(url, [*fields[:-1], ("To", "+14155550198")], good) == (403, b"")
    assert send(url, fields, {}) == (403, b"")
    assert send(url, fields, good)[0] == 200
    key = urlsplit(url).path.rpartition("/")[2]
    shown = f"POST {patchbay.url}/v2/hooks/{provider}/whk_***"
    patchbay.server.wait_for(shown)
    for secret in (key, TOKEN, OTHER):
        assert secret not in patchbay.server.output


def signed(provider: str, url: str, fields: signers.Pairs) -> dict[str, str]:
    if provider == "twilio":
        return signers.twilio(TOKEN, url, fields)
    if provider == "plivo":
        return signers.plivo_v3(TOKEN, "POST", url, fields)
    return signers.telnyx(
        signers.TELNYX_KEY, urlencode(fields).encode(), SystemClock().now() // 1000
    )


def media_url(patchbay: Patchbay, provider: str) -> str:
    url = connect(patchbay, provider)
    fields = [("AccountSid", ACCOUNT), ("CallSid", f"CA-{url[-9:]}"), ("CallUUID", url[-9:])]
    status, markup = send(url, fields, signed(provider, url, fields))
    assert status == 200
    stream = next(fromstring(markup).iter("Stream"))
    return stream.get("url") or stream.text or ""


@pytest.mark.parametrize("provider", ["twilio", "plivo"])
def test_an_unsigned_upgrade_is_refused_and_leaves_the_reference_usable(
    patchbay: Patchbay, provider: str
) -> None:
    url = media_url(patchbay, provider)
    good = (
        signers.twilio(TOKEN, url)
        if provider == "twilio"
        else signers.plivo_v3(TOKEN, "GET", f"http{url.removeprefix('ws')}")
    )
    wrong = dict.fromkeys(good, "AAAA")
    for headers in ({}, wrong):
        status, head, connection = upgrade(url, **headers)
        connection.close()
        assert status == 403
        assert b"Content-Length: 0" in head
    status, _, connection = upgrade(url, **good)
    connection.close()
    assert status == 101
    shown = f"GET ws{patchbay.url.removeprefix('http')}/{provider}/***"
    patchbay.server.wait_for(shown)
    assert url.rpartition("/")[2] not in patchbay.server.output


def test_telnyx_signs_no_upgrade(patchbay: Patchbay) -> None:
    status, _, connection = upgrade(media_url(patchbay, "telnyx"))
    connection.close()
    assert status == 101


def test_an_upgrade_is_not_checked_after_its_connector_was_deleted(patchbay: Patchbay) -> None:
    url = media_url(patchbay, "twilio")
    connector = patchbay.ask("GET", "/v2/connectors")[1]["data"][0]
    assert patchbay.ask("DELETE", f"/v2/connectors/{connector['id']}")[0] == 200
    status, _, connection = upgrade(url)
    connection.close()
    assert status == 101


@pytest.mark.parametrize("provider", ["twilio", "plivo"])
def test_flask_call_signs_with_the_credentials_of_its_server(
    patchbay: Patchbay, data: Path, provider: str
) -> None:
    result = flask_call(patchbay, data, connect(patchbay, provider))
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["ok"] is True


def test_flask_call_signs_with_a_key_file(patchbay: Patchbay, data: Path, tmp_path: Path) -> None:
    url = connect(patchbay, "telnyx")
    assert "answered the webhook with 403" in flask_call(patchbay, data, url).stderr
    file = tmp_path / "telnyx.key"
    file.write_text(KEYS["telnyx"] + "\n")
    result = flask_call(patchbay, data, url, "--signing-key", str(file))
    assert result.returncode == 0, result.stderr
    result = flask_call(patchbay, data, url, "--signing-key", str(tmp_path))
    assert result.stderr == f"Error: {tmp_path} cannot be read as a signing key.\n"


def flask_call(
    patchbay: Patchbay, data: Path, url: str, *options: str
) -> subprocess.CompletedProcess[str]:
    """Run the command, and end its call when half a second of audio was sent to it."""
    command = [sys.executable, "-m", "flask", "--app", "wsgi", "call", url, "--json"]
    with subprocess.Popen(
        [*command, "--seconds", "300", *options],
        cwd=ROOT,
        env=environment(data, {"PORT": str(urlsplit(patchbay.url).port)}),
        text=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stderr is not None
        shown = ""
        for line in process.stderr:
            shown += line
            if "first-audio" in line:
                patchbay.eventually(lambda: len(patchbay.calls(status="answered")) == 1)
                (call,) = patchbay.calls(status="answered")
                call_id = call["callId"]
                patchbay.eventually(
                    lambda: patchbay.call(call_id)["stats"]["framesOut"] >= 25  # noqa: B023
                )
                assert patchbay.ask("POST", "/v2/sip/call/end", {"callId": call_id})[0] == 200
        printed, _ = process.communicate(timeout=PATIENCE)
    return subprocess.CompletedProcess(command, process.returncode, printed, shown)


def test_signatures_are_valid_below_a_prefix(tmp_path: Path) -> None:
    with running_patchbay(tmp_path, SCRIPT_NAME="/pb") as patchbay:
        patchbay.url += "/pb"
        for provider in CREDENTIALS:
            url = connect(patchbay, provider)
            assert url.startswith(f"{patchbay.url}/v2/hooks/")
            phone = Phone(plan(url, provider, KEYS[provider])).start()
            phone.wait_for("first-audio")
            phone.hang_up()
            phone.join(PATIENCE)
            assert phone.report.ended == "caller-hung-up", phone.report
