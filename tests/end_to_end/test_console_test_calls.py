"""Test calls through the console's endpoints: a real server calls its own connectors."""

from __future__ import annotations

import base64
import io
import wave
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flask.testing import FlaskClient

from service.app import create_app
from service.settings import Settings
from service.web.services import services_of
from tests.support import signers
from tests.support.agents import Agent
from tests.support.patchbays import Patchbay, running_patchbay
from tests.support.spectrum import level

PATH = "/console/api/trials"
LIMIT = 3


@pytest.fixture(scope="module")
def patchbay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Patchbay]:
    with running_patchbay(tmp_path_factory.mktemp("data"), TEST_CALLS=str(LIMIT)) as running:
        yield running


@pytest.fixture(autouse=True)
def hang_up_at_the_end(patchbay: Patchbay) -> Iterator[None]:
    yield
    for test_call in patchbay.ask("GET", PATH)[1]["data"]:
        ended(patchbay, patchbay.ask("DELETE", f"{PATH}/{test_call['id']}")[1]["data"])


def connect(patchbay: Patchbay, provider: str = "twilio", **fields: Any) -> str:
    """Create a connector, and return its id."""
    status, answer = patchbay.ask(
        "POST", "/v2/connectors", {"provider": provider, "defaultRoomId": "test-calls", **fields}
    )
    assert status == 201
    return str(answer["data"]["id"])


def place(patchbay: Patchbay, connector: str, **fields: Any) -> tuple[int, dict[str, Any]]:
    status, answer = patchbay.ask("POST", PATH, {"connectorId": connector, "seconds": 60, **fields})
    return status, answer.get("data", answer)


def reached(patchbay: Patchbay, test_call: dict[str, Any], step: str) -> dict[str, Any]:
    """Wait until the ladder has this step, and return the test call."""
    latest = test_call

    def is_there() -> bool:
        nonlocal latest
        latest = patchbay.ask("GET", f"{PATH}/{test_call['id']}")[1]["data"]
        return step in [each["name"] for each in latest["ladder"]]

    patchbay.eventually(is_there)
    return latest


def ended(patchbay: Patchbay, test_call: dict[str, Any]) -> dict[str, Any]:
    patchbay.eventually(lambda: reached(patchbay, test_call, "end")["report"] is not None)
    return reached(patchbay, test_call, "end")


def recording(hertz: float, seconds: float, rate: int = 16_000) -> str:
    time = np.arange(round(seconds * rate)) / rate
    file = io.BytesIO()
    with wave.open(file, "wb") as target:
        target.setnchannels(1)
        target.setsampwidth(2)
        target.setframerate(rate)
        target.writeframes((8000 * np.sin(2 * np.pi * hertz * time)).astype("<i2").tobytes())
    return base64.b64encode(file.getvalue()).decode()


@pytest.mark.parametrize("provider", ["twilio", "plivo", "telnyx"])
def test_call_lasts_until_it_is_hung_up(patchbay: Patchbay, provider: str) -> None:
    status, placed = place(
        patchbay, connect(patchbay, provider), caller="+4930123456", sound="tone"
    )
    assert (status, placed["planned"], placed["report"]) == (202, 60, None)
    up = reached(patchbay, placed, "first-audio")
    patchbay.eventually(lambda: patchbay.call(up["callId"])["status"] == "answered")
    call = patchbay.call(up["callId"])
    assert (call["roomId"], call["from"]) == (up["roomId"], "+4930123456")
    patchbay.eventually(lambda: reached(patchbay, placed, "first-audio")["seconds"] > 0.5)
    assert patchbay.ask("DELETE", f"{PATH}/{placed['id']}")[0] == 200
    report = ended(patchbay, placed)["report"]
    assert (report["ended"], report["trouble"]) == ("caller-hung-up", None)
    patchbay.eventually(lambda: patchbay.call(up["callId"])["status"] == "ended")


def test_recording_is_heard_in_the_room(patchbay: Patchbay) -> None:
    connector = connect(patchbay, defaultRoomId="hearing")
    with Agent(patchbay.invite("hearing")["wsUrl"]) as agent:
        status, placed = place(
            patchbay, connector, sound="recording", recording=recording(700, 1.0)
        )
        assert status == 202
        reached(patchbay, placed, "first-audio")
        patchbay.eventually(
            lambda: (
                level(agent.heard[-4000:], 700.0) > -30 and level(agent.heard[-4000:], 440.0) < -40
            )
        )


def test_call_ends_after_its_seconds(patchbay: Patchbay) -> None:
    call = ended(patchbay, place(patchbay, connect(patchbay), seconds=1, digits="12#")[1])
    assert call["report"]["ended"] == "caller-hung-up"
    assert call["seconds"] >= 1


def test_calls_beyond_the_limit_are_refused(patchbay: Patchbay) -> None:
    connector = connect(patchbay)
    assert [place(patchbay, connector)[0] for _ in range(LIMIT)] == [202] * LIMIT
    status, refusal = place(patchbay, connector)
    assert status == 409
    assert refusal["message"] == "3 test calls are up, and no more may be: hang one up first."


def test_call_to_a_connector_with_credentials_is_signed(patchbay: Patchbay) -> None:
    credentials = {"accountSid": "AC" + "7" * 32, "authToken": "0123456789abcdef" * 2}
    placed = place(patchbay, connect(patchbay, credentials=credentials))[1]
    reached(patchbay, placed, "first-audio")


def test_connector_that_only_telnyx_can_sign_for_is_refused(patchbay: Patchbay) -> None:
    credentials = {"publicKey": signers.public_key(signers.TELNYX_KEY)}
    status, refusal = place(patchbay, connect(patchbay, "telnyx", credentials=credentials))
    assert status == 409
    assert refusal["message"].startswith("Only the provider can sign calls to this connector: ")


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"sound": "drum"}, "sound must be one of melody, tone, recording."),
        ({"seconds": 301}, "seconds must be a whole number from 1 to 300."),
        ({"seconds": 0}, "seconds must be a whole number from 1 to 300."),
        ({"caller": "me"}, "caller must be a phone number in E.164, such as +14155550100."),
        ({"digits": "call"}, "digits must be at most 32 of 0 to 9, * and #."),
        ({"pin": "12#"}, "pin must be at most 16 digits."),
        (
            {"sound": "recording"},
            "recording is for the sound recording, which is nothing without it.",
        ),
        (
            {"recording": "UklGRg=="},
            "recording is for the sound recording, which is nothing without it.",
        ),
        ({"sound": "recording", "recording": "RIFF?"}, "recording must be base64."),
        ({"sound": "recording", "recording": "UklGRg=="}, "recording is not a WAV file."),
        ({"sound": "recording", "recording": recording(1, 0)}, "recording holds no sound."),
        (
            {"sound": "recording", "recording": recording(1, 30.1)},
            "recording is longer than 30 seconds.",
        ),
    ],
)
def test_invalid_field_is_refused_in_a_sentence(
    patchbay: Patchbay, connector: str, fields: dict[str, Any], sentence: str
) -> None:
    status, refusal = place(patchbay, connector, **fields)
    assert (status, refusal["message"]) == (400, sentence)


@pytest.fixture(scope="module")
def connector(patchbay: Patchbay) -> str:
    return connect(patchbay)


def test_longest_recording_at_the_highest_rate_is_accepted(
    patchbay: Patchbay, connector: str
) -> None:
    status, _ = place(patchbay, connector, sound="recording", recording=recording(700, 30, 48_000))
    assert status == 202


def test_unknown_connector_or_call_is_not_found(patchbay: Patchbay) -> None:
    assert place(patchbay, "cn_unknown")[0] == 404
    assert patchbay.ask("GET", f"{PATH}/trial_unknown")[0] == 404
    assert patchbay.ask("DELETE", f"{PATH}/trial_unknown")[0] == 404


def test_test_calls_require_a_token(patchbay: Patchbay, connector: str) -> None:
    patchbay.token, kept = "nothing", patchbay.token
    try:
        assert place(patchbay, connector)[0] == 401
    finally:
        patchbay.token = kept


@contextmanager
def client(folder: Path, token: str, **settings: Any) -> Iterator[FlaskClient]:
    """A client of an app without a server."""
    app = create_app(
        Settings(
            api_key="key",
            api_secret="secret" * 8,
            database_url=f"sqlite:///{folder}/patchbay.db",
            data_dir=folder,
            **settings,
        )
    )
    http = app.test_client()
    http.environ_base["HTTP_AUTHORIZATION"] = token
    try:
        yield http
    finally:
        services_of(app).close()


def test_test_calls_are_off_by_default(tmp_path: Path, patchbay: Patchbay) -> None:
    with client(tmp_path, patchbay.token) as http:
        answer = http.post(PATH, json={"connectorId": "cn_1"})
        assert answer.status_code == 409
        assert answer.json["message"].startswith("Test calls are off: set TEST_CALLS ")
        entered = http.post("/console/api/session", json={"token": patchbay.token})
        assert entered.json["data"]["testCalls"] == 0


def test_body_beyond_the_limit_is_not_read(tmp_path: Path, patchbay: Patchbay) -> None:
    with client(tmp_path, patchbay.token, test_calls=1) as http:
        fields = {"connectorId": "cn_1", "sound": "recording", "recording": "A" * 4 * 1024 * 1024}
        answer = http.post(PATH, json=fields)
        assert answer.status_code == 400
        assert answer.json["message"] == "Request body is larger than 4096 KB."


def test_stopping_server_does_not_wait_for_test_calls(tmp_path: Path) -> None:
    with running_patchbay(tmp_path, TEST_CALLS="1") as patchbay:
        reached(patchbay, place(patchbay, connect(patchbay))[1], "first-audio")
        assert patchbay.server.stop() == 0
    assert "the process is ending: 0 calls are handed over" in patchbay.server.output
