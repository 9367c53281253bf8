"""API_SECRET is changed on a running installation, in the steps of docs/deploy.md."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

import pytest

from tests.support.patchbays import Patchbay
from tests.support.servers import PATIENCE, refused, serving

OLD, NEW = "secret" * 8, "changed" * 8


def ask_with(patchbay: Patchbay, token: str, path: str = "/v2/connectors") -> int:
    patchbay.token = token
    return patchbay.ask("GET", path)[0]


@pytest.fixture
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/patchbay.db"
    url: str = request.getfixturevalue("postgres")()
    return url


@pytest.mark.parametrize("database_url", ["sqlite", "postgres"], indirect=True)
def test_a_secret_can_be_changed_without_an_outage(database_url: str, tmp_path: Path) -> None:
    settings = {"DATABASE_URL": database_url, "PUBLIC_URL": "https://voice.example.com"}
    with serving(tmp_path, **settings) as server:
        patchbay = Patchbay(server)
        old_token = patchbay.token
        credentials = {"authToken": "t" * 32}
        body = {"provider": "plivo", "defaultRoomId": "r1", "credentials": credentials}
        created = patchbay.ask("POST", "/v2/connectors", body)[1]["data"]
        room = {"type": "dynamic", "prefix": "participantNumber"}
        rule = {"name": "n", "type": "inbound", "phoneNumbers": ["+14155550199"], "room": room}
        patchbay.ask("POST", "/v2/sip/routing-rule", {**rule, "hidePhoneNumber": True})
        hook = urlsplit(patchbay.webhook("twilio", "r1")).path
        key = patchbay.ask("GET", "/v2/public/rsa-public-key")[1]["publicKey"]

        def room_of(call: str) -> str:
            form = f"CallSid={call}&From=%2B14155550100&To=%2B14155550199".encode()
            with urlopen(Request(patchbay.url + hook, form), timeout=PATIENCE) as answer:
                assert b"<Stream" in answer.read()
            calls = patchbay.ask("GET", "/v2/sip/call")[1]["data"]
            return str(calls[0]["roomId"])

        before = room_of("CA1")

    code, output = refused(tmp_path, **settings, API_SECRET=NEW)
    assert code == 1
    *_, sentence = output.splitlines()
    assert sentence.startswith("API_SECRET is not the one that the secrets in the database were")

    pair = {**settings, "API_SECRET": NEW, "API_SECRET_PREVIOUS": OLD}
    with serving(tmp_path, **pair) as server:
        patchbay = Patchbay(server, secret=NEW)
        new_token = patchbay.token
        assert ask_with(patchbay, old_token) == ask_with(patchbay, new_token) == 200
        again = patchbay.ask("GET", f"/v2/connectors/{created['id']}")[1]
        assert (again["data"], again.get("warnings")) == (created, None)
        assert patchbay.ask("GET", "/v2/public/rsa-public-key")[1]["publicKey"] == key
        assert room_of("CA2") == before

    with serving(tmp_path, **settings, API_SECRET=NEW) as server:
        patchbay = Patchbay(server, secret=NEW)
        assert ask_with(patchbay, old_token) == 401
        assert ask_with(patchbay, new_token) == 200
        again = patchbay.ask("GET", f"/v2/connectors/{created['id']}")[1]
        assert (again["data"], again.get("warnings")) == (created, None)
        assert patchbay.ask("GET", "/v2/public/rsa-public-key")[1]["publicKey"] == key
        assert room_of("CA3") == before
