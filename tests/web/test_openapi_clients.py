"""The OpenAPI document in other tools: validators and client generators."""

from __future__ import annotations

import compileall
import importlib
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from jsonschema import Draft202012Validator

from service.domain.calls import CallStatus, Transfer
from service.domain.webhook_events import event_document, happenings
from service.security.canonical_json import stringify
from tests.support.records import a_call


@pytest.fixture
def written(app: Flask) -> dict[str, Any]:
    found: dict[str, Any] = app.test_client().get("/openapi.json").json
    return found


def valid(written: dict[str, Any], name: str, value: object) -> bool:
    schema = {"$ref": f"#/components/schemas/{name}", "components": written["components"]}
    return Draft202012Validator(schema).is_valid(value)


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        (
            "NewSubscription",
            [{"url": "https://a", "events": events} for events in (["*"], ["call-started"])],
            [
                {"url": "https://a", "events": events}
                for events in ([], ["call-started", "call-started"], ["*", "call-started"])
            ],
        ),
        (
            "SessionToEnd",
            [{"roomId": "r"}, {"sessionId": "s"}, {"roomId": "r", "sessionId": "s"}],
            [{}, {"participantId": "p"}],
        ),
        (
            "ParticipantToRemove",
            [{"participantId": "p", "roomId": "r"}],
            [{"participantId": "p"}, {"roomId": "r"}],
        ),
        (
            "NewDispatch",
            [
                {"agentId": "a", "roomId": "r", "meetingId": None},
                {"agentId": "a", "meetingId": "r"},
            ],
            [{"agentId": "a"}, {"agentId": "a", "roomId": None, "meetingId": None}],
        ),
        (
            "NewCall",
            [{"sipCallTo": "+14155550100", "sipCallFrom": None}],
            [{"sipCallTo": "4155550100"}, {"sipCallTo": "+1415555010012345"}],
        ),
        (
            "RuleChanges",
            [{"phoneNumbers": ["+14155550100"], "allowedNumbers": ["+91*", "*", "+14155550100"]}],
            [{"phoneNumbers": ["anonymous"]}, {"allowedNumbers": ["0415*"]}],
        ),
    ],
)
def test_document_and_validation_agree_on_values(
    written: dict[str, Any], name: str, good: list[object], bad: list[object]
) -> None:
    assert [value for value in good if not valid(written, name, value)] == []
    assert [value for value in bad if valid(written, name, value)] == []


def test_required_bodies_and_members_are_documented(written: dict[str, Any]) -> None:
    for method, path in (
        ("post", "/v2/sessions/end"),
        ("post", "/v2/agent/dispatch"),
        ("patch", "/v2/agents/{agent_id}"),
        ("patch", "/v2/sip/routing-rule/{rule_id}"),
    ):
        assert written["paths"][path][method]["requestBody"]["required"] is True, path
    assert written["paths"]["/v2/rooms"]["post"]["requestBody"]["required"] is False
    assert not valid(written, "AgentChanges", {})
    assert not valid(written, "NewConnector", {"provider": "twilio", "credentials": {"x": "y"}})
    assert valid(written, "NewConnector", {"provider": "twilio", "credentials": {"authToken": "y"}})


def test_an_event_matches_its_openapi_schema(written: dict[str, Any]) -> None:
    schema = {"$ref": "#/components/schemas/CallEventMessage"}
    judge = Draft202012Validator({**schema, "components": written["components"]})
    call = a_call(session_id="s1", region="us002")
    moved = replace(call, transfer=Transfer("+14155550177", CallStatus.TRANSFER_INITIATED))
    for each in (call, moved, replace(call, room_id=None)):
        for happening in happenings(None, each, each.steps):
            data = json.loads(stringify(event_document(happening)))
            judge.validate({"webhookType": happening.event, "data": data})
            assert set(data) <= set(written["components"]["schemas"]["CallEventData"]["properties"])
    assert not judge.is_valid({"webhookType": "call-started", "data": {"id": call.id}})


def test_no_type_is_null_alone(written: dict[str, Any]) -> None:
    """Client generators refer to a class ``Null`` for it, which does not exist."""

    def members(shape: object) -> Iterator[dict[str, Any]]:
        if isinstance(shape, dict):
            yield from (each for each in shape.get("properties", {}).values())
        for below in shape.values() if isinstance(shape, dict) else shape:
            if isinstance(below, dict | list):
                yield from members(below)

    for name, schema in written["components"]["schemas"].items():
        for member in members({"properties": schema["properties"]}):
            assert member.get("type") != "null", name
    call = written["components"]["schemas"]["CallData"]["properties"]
    assert call["gatewayId"] == call["additionalDetails"] == {"type": ["string", "null"]}


def test_generated_client_reads_the_answers(
    written: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, client: FlaskClient
) -> None:
    (tmp_path / "openapi.json").write_text(json.dumps(written))
    # They take long to import, and every process that runs tests imports this file.
    from openapi_python_client import generate
    from openapi_python_client.config import Config, ConfigFile, MetaType

    config = Config.from_sources(
        ConfigFile(post_hooks=[], project_name_override="generated"),
        MetaType.NONE,
        document_source=tmp_path / "openapi.json",
        file_encoding="utf-8",
        overwrite=False,
        output_path=tmp_path / "generated_client",
    )
    assert [error.detail for error in generate(config=config)] == []
    assert compileall.compile_dir(tmp_path / "generated_client", quiet=2)

    monkeypatch.syspath_prepend(tmp_path)
    models = importlib.import_module("generated_client.models")
    answer = client.post("/v2/connectors", json={"provider": "twilio", "defaultRoomId": "r"}).json
    read = models.ConnectorsCreateResponse201.from_dict(answer)
    assert (read.data.provider, read.data.name, read.data.default_room_id) == ("twilio", None, "r")
