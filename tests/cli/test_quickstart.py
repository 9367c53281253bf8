"""The sign-in link and the three commands that ``make run`` prints."""

from __future__ import annotations

import json
import shlex

import pytest

from service.cli.quickstart import first_steps
from service.clock import SystemClock
from service.security import access_tokens
from service.settings import Settings

LINK = "http://127.0.0.1:8000/console/sign-in#abc"


def steps(**env: str) -> list[str]:
    settings = Settings.from_env({"API_KEY": "key", "API_SECRET": "secret" * 8} | env)
    lines = first_steps(settings, LINK, SystemClock().now()).splitlines()
    return [line for line in lines if line][-3:]


def test_the_console_comes_first() -> None:
    settings = Settings.from_env({"API_KEY": "key", "API_SECRET": "secret" * 8})
    text = first_steps(settings, LINK, SystemClock().now())
    assert text.index(LINK) < text.index("export TOKEN=")


def test_the_first_step_exports_a_valid_token() -> None:
    export, _, _ = steps()
    assert export.startswith("export TOKEN=")
    access_tokens.verify(export.removeprefix("export TOKEN="), "key", "secret" * 8)


def test_the_second_step_creates_a_connector_with_a_room() -> None:
    curl, url, *arguments = shlex.split(steps(PORT="9000")[1])
    assert (curl, url) == ("curl", "http://127.0.0.1:9000/v2/connectors")
    assert "Authorization: $TOKEN" in arguments
    assert "Content-Type: application/json" in arguments
    body = json.loads(arguments[arguments.index("-d") + 1])
    assert body == {"provider": "twilio", "defaultRoomId": "demo-room-0001"}


@pytest.mark.parametrize(("port", "prefix"), [("8000", ""), ("9000", "PORT=9000 ")])
def test_the_third_step_calls_on_the_port_of_this_server(port: str, prefix: str) -> None:
    assert steps(PORT=port)[2] == f"{prefix}.venv/bin/flask --app wsgi call"
