"""The routing rule endpoints in both spellings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import orjson
import pytest
from flask import Flask
from flask.testing import FlaskClient

from service.domain.routing_rules import NEW_ROOM, Rule, RuleType
from service.errors import Conflict
from service.storage.database import Database
from service.storage.routing_rules import Rules
from service.web.services import install, services_of
from tests.support.apps import API_SECRET
from tests.support.clocks import FakeClock
from tests.support.records import a_rule

URL, OLDER = "/v2/sip/routing-rule", "/v2/sip/routing-rules"
MINIMAL = {"name": "Support", "type": "inbound", "phoneNumbers": ["+14155551234"]}
FULL = {
    **MINIMAL,
    "room": {"type": "dynamic", "prefix": "participantNumber", "pin": "4321"},
    "agentId": "agent_xyz",
    "agentMetadata": {"team": "support"},
    "hidePhoneNumber": True,
    "tags": ["support", "v2"],
    "apiKey": "test-key",
    "recording": True,
    "dtmf": True,
    "noiseCancellation": True,
    "allowedNumbers": ["+91*", "+1 (415) 555-0111"],
    "allowedIpAddresses": ["203.0.113.7"],
    "includeHeaders": "SIP_X_HEADERS",
    "headersToAttributes": {"X-Campaign": "campaign"},
}
OLDER_RULE = {
    "name": "Support Line Rule",
    "numbers": ["+14150001111"],
    "gatewayId": "gateway_in_123456789",
    "dispatch": {
        "room": {"type": "static", "id": "room_123", "pin": "4321"},
        "agent": {"type": "cloud", "id": "deployment_abc123", "metadata": {"team": "sales"}},
    },
    "hidePhoneNumber": False,
    "metadata": {"env": "production"},
    "tags": ["priority", "support"],
}


@pytest.fixture
def stored(app: Flask) -> Rules:
    rules: Rules = services_of(app).stores.routing_rules
    return rules


@pytest.fixture
def rule(client: FlaskClient) -> dict[str, Any]:
    """The answer to a full rule."""
    answer: dict[str, Any] = client.post(URL, json=FULL).json
    return answer


def without(answer: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in answer.items() if name not in names}


def test_create_answers_with_the_documented_object(client: FlaskClient) -> None:
    response = client.post(URL, json=MINIMAL)
    assert response.status_code == 201
    at = "2026-06-21T14:30:45.123Z"
    # As bytes, because the order of the members is part of the sample.
    assert response.data == orjson.dumps(
        {
            "id": response.json["id"],
            "name": "Support",
            "type": "inbound",
            "numbers": ["+14155551234"],
            "room": {"type": "dynamic", "prefix": "blank", "id": None, "pin": None},
            "agentId": None,
            "agentMetadata": {},
            "hidePhoneNumber": False,
            "tags": [],
            "apiKey": "test-key",
            "recording": False,
            "dtmf": False,
            "noiseCancellation": False,
            "allowedNumbers": [],
            "allowedIpAddresses": [],
            "includeHeaders": None,
            "headersToAttributes": {},
            "createdAt": at,
            "updatedAt": at,
        }
    )
    assert response.json["id"].startswith("rr_")


def test_all_fields_are_returned_and_the_ineffective_ones_are_named(
    client: FlaskClient, rule: dict[str, Any]
) -> None:
    expected = {
        **without(FULL, "phoneNumbers"),
        "numbers": ["+14155551234"],
        "room": {"type": "dynamic", "prefix": "participantNumber", "id": None, "pin": "4321"},
        "allowedNumbers": ["+91*", "+14155550111"],
    }
    assert without(rule, "id", "createdAt", "updatedAt", "warnings") == expected
    assert [sentence.partition(" ")[0] for sentence in rule["warnings"]] == [
        "recording",
        "noiseCancellation",
        "headersToAttributes",
        "includeHeaders",
        "allowedIpAddresses",
        "agentId",
    ]
    assert client.get(f"{URL}/{rule['id']}").json == without(rule, "warnings")


@pytest.mark.parametrize("known", [True, False])
def test_unknown_agent_is_stored_and_named(client: FlaskClient, known: bool) -> None:
    agent_id = "agent_of_another_server"
    if known:
        agent = {"name": "Echo", "url": "https://agents.example.com"}
        agent_id = client.post("/v2/agents", json=agent).json["data"]["id"]
    today = client.post(URL, json={**MINIMAL, "agentId": agent_id})
    changed = client.patch(f"{URL}/{today.json['id']}", json={"agentId": agent_id})
    older = {**OLDER_RULE, "gatewayId": None, "dispatch": {"agent": {"id": agent_id}}}
    older["dispatch"]["room"] = {"type": "static", "id": "room_9"}
    answers = (today, changed, client.post(OLDER, json=older))
    assert [answer.status_code for answer in answers] == [201, 200, 201]
    assert client.get(f"{URL}/{today.json['id']}").json["agentId"] == agent_id
    for answer, name in zip(answers, ("agentId", "agentId", "dispatch.agent"), strict=True):
        sentence = f"{name} was stored, but names no agent that could be sent for."
        assert answer.json.get("warnings", []) == ([] if known else [sentence])


def test_an_outbound_rule_has_headers_and_shares_its_numbers(client: FlaskClient) -> None:
    outbound = {
        **MINIMAL,
        "type": "outbound",
        "headers": {"X-Tenant": "7"},
        "room": {"type": "static", "id": "r1", "pin": "1"},
        "allowedNumbers": ["+91*"],
    }
    for _ in range(2):
        answer = client.post(URL, json=outbound)
        assert answer.status_code == 201
        assert answer.json["headers"] == {"X-Tenant": "7"}
        assert "headersToAttributes" not in answer.json
        assert [sentence.partition(" ")[0] for sentence in answer.json["warnings"]] == [
            "headers",
            "room.pin",
            "allowedNumbers",
        ]


@pytest.mark.parametrize(
    "number",
    [
        "+14155551234",
        "14155551234",
        " +1 (415) 555-1234",
        "+1.415.555.1234",
        "+14155551234\u202c",
        "0014155551234",
    ],
)
def test_numbers_are_stored_as_e164(client: FlaskClient, number: str) -> None:
    answer = client.post(
        URL,
        json={
            **MINIMAL,
            "phoneNumbers": [number, "+14155551234"],
            "allowedNumbers": [number, f"{number[:4]}*"],
        },
    )
    assert answer.json["numbers"] == ["+14155551234"]
    assert answer.json["allowedNumbers"][0] == "+14155551234"
    assert answer.json["allowedNumbers"][1].startswith("+1")
    for search in (number, "+1 (415) 555-1234", "+14155551234\u202c", "\u202d5551234"):
        found = client.get(URL, query_string={"search": search}).json["data"]
        assert [rule["id"] for rule in found] == [answer.json["id"]], search


NUMBER = "must be a phone number in E.164, such as +14155550100."
CHOICES = "must be one of blank, random, participantNumber, sipNumber for a dynamic room."
REFUSALS: list[tuple[dict[str, Any], str]] = [
    ({"name": None}, "name must not be null."),
    ({"name": ""}, "name must not be empty."),
    ({"name": 5}, "name must be a string."),
    ({"name": "x" * 129}, "name must be at most 128 characters long."),
    ({"phoneNumbers": "+14155551234"}, "phoneNumbers must be an array."),
    ({"phoneNumbers": None}, "phoneNumbers must not be null."),
    ({"phoneNumbers": {"a": 1}}, "phoneNumbers must be an array."),
    ({"phoneNumbers": ["+14155551234", "555"]}, f"phoneNumbers.1 {NUMBER}"),
    ({"phoneNumbers": ["anonymous"]}, f"phoneNumbers.0 {NUMBER}"),
    (
        {"phoneNumbers": ["+14155551234\u0301"]},
        "phoneNumbers.0 has U+0301 COMBINING ACUTE ACCENT at its end.",
    ),
    (
        {"phoneNumbers": ["(415) 555-1234"]},
        "phoneNumbers.0 must begin with + and a country's code, such as +14155550100.",
    ),
    (
        {"allowedNumbers": ["4155551234"]},
        "allowedNumbers.0 must begin with + and a country's code, such as +14155550100.",
    ),
    (
        {"allowedNumbers": ["0415*"]},
        "allowedNumbers.0 must begin with a country's code, such as +91*.",
    ),
    (
        {"allowedNumbers": ["+1\u0661*\u0301"]},
        "allowedNumbers.0 has U+0301 COMBINING ACUTE ACCENT at its end.",
    ),
    ({"phoneNumbers": ["+266696687"]}, f"phoneNumbers.0 {NUMBER}"),
    ({"phoneNumbers": [14155551234]}, "phoneNumbers.0 must be a string."),
    ({"phoneNumbers": [None]}, "phoneNumbers.0 must not be null."),
    ({"room": "r1"}, "room must be a JSON object."),
    ({"room": None}, "room must not be null."),
    ({"room": {"type": "fixed"}}, "room.type must be one of static, dynamic."),
    ({"room": {"type": "static"}}, "room.id is required for a static room."),
    ({"room": {"type": "static", "id": None}}, "room.id is required for a static room."),
    ({"room": {"prefix": "support-"}}, f"room.prefix {CHOICES}"),
    ({"room": {"pin": "12a"}}, "room.pin must be 1 to 16 digits."),
    ({"room": {"pin": ""}}, "room.pin must be 1 to 16 digits."),
    ({"room": {"pin": "1" * 17}}, "room.pin must be 1 to 16 digits."),
    ({"room": {"pin": "١٢"}}, "room.pin must be 1 to 16 digits."),
    ({"room": {"pin": 4321}}, "room.pin must be a string."),
    ({"includeHeaders": "SOME"}, "includeHeaders must be one of ALL, SIP_X_HEADERS, NONE."),
    ({"apiKey": "another"}, "Invalid API Key"),
    ({"recording": "yes"}, "recording must be true or false."),
    ({"dtmf": []}, "dtmf must be true or false."),
    ({"hidePhoneNumber": 1}, "hidePhoneNumber must be true or false."),
    ({"tags": "a,b"}, "tags must be an array."),
    ({"agentMetadata": [1]}, "agentMetadata must be a JSON object."),
    (
        {"allowedNumbers": ["+91*", "india"]},
        "allowedNumbers.1 must be a phone number or a pattern such as +91*.",
    ),
    (
        {"headers": {"X-A": "1"}},
        "headers is for outbound rules only; inbound ones have headersToAttributes.",
    ),
]


@pytest.mark.parametrize(("fields", "message"), REFUSALS)
def test_invalid_fields_have_one_error_on_create_and_update(
    client: FlaskClient, rule: dict[str, Any], fields: dict[str, Any], message: str
) -> None:
    for response in (
        client.post(URL, json={**MINIMAL, "phoneNumbers": ["+14155550199"], **fields}),
        client.patch(f"{URL}/{rule['id']}", json=fields),
    ):
        assert (response.status_code, response.json["message"]) == (400, message)
    assert client.get(f"{URL}/{rule['id']}").json == without(rule, "warnings")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"name": None}, "name must not be null."),
        ({"type": None}, "type must not be null."),
        ({"type": "INBOUND"}, "type must be one of inbound, outbound."),
        ({"type": ["inbound"]}, "type must be one of inbound, outbound."),
        (
            {"type": "outbound", "headersToAttributes": {"X-A": "a"}},
            "headersToAttributes is for inbound rules only; outbound ones have headers.",
        ),
    ],
)
def test_create_refuses_invalid_rules(
    client: FlaskClient, fields: dict[str, Any], message: str
) -> None:
    response = client.post(URL, json={**MINIMAL, **fields})
    assert (response.status_code, response.json["message"]) == (400, message)


@pytest.mark.parametrize("name", ["name", "type", "phoneNumbers"])
def test_create_needs_a_name_a_type_and_numbers(client: FlaskClient, name: str) -> None:
    response = client.post(URL, json=without(MINIMAL, name))
    assert (response.status_code, response.json["message"]) == (400, f"{name} is required.")


def test_an_inbound_number_is_on_one_inbound_rule_only(
    client: FlaskClient, rule: dict[str, Any]
) -> None:
    message = "phoneNumbers must not hold +14155551234, which is on another inbound rule."
    response = client.post(URL, json=MINIMAL)
    assert (response.status_code, response.json) == (
        400,
        {"message": message, "statusCode": 400, "errors": {"phoneNumbers": [message]}},
    )
    other = client.post(URL, json={**MINIMAL, "phoneNumbers": []}).json
    response = client.patch(f"{URL}/{other['id']}", json={"phoneNumbers": ["14155551234"]})
    assert (response.status_code, response.json["message"]) == (400, message)
    older = client.put(f"{OLDER}/{other['id']}", json={"numbers": ["+14155551234"]})
    assert older.json["message"] == message.replace("phoneNumbers", "numbers")
    # A rule may keep its own numbers.
    again = client.patch(f"{URL}/{rule['id']}", json={"phoneNumbers": ["+14155551234"]})
    assert again.status_code == 200


def test_update_changes_only_the_sent_fields(
    client: FlaskClient, rule: dict[str, Any], clock: FakeClock
) -> None:
    clock.advance(1)
    answer = client.patch(
        f"{URL}/{rule['id']}", json={"name": "New", "phoneNumbers": ["+14155550100"]}
    )
    assert answer.status_code == 200
    assert answer.json == {
        **without(rule, "warnings"),
        "name": "New",
        "numbers": ["+14155550100"],
        "updatedAt": "2026-06-21T14:30:46.123Z",
    }
    assert client.get(f"{URL}/{rule['id']}").json == answer.json


@pytest.mark.parametrize(
    ("given", "room"),
    [
        # A PIN is not lost by the way.
        ({"prefix": "sipNumber"}, ("dynamic", "sipNumber", None, "4321")),
        ({"type": "static", "id": "r1"}, ("static", None, "r1", "4321")),
        ({"id": "r1"}, ("static", None, "r1", "4321")),
        ({"pin": None}, ("dynamic", "participantNumber", None, None)),
        ({"prefix": None}, ("dynamic", "blank", None, "4321")),
        ({}, ("dynamic", "participantNumber", None, "4321")),
    ],
)
def test_update_merges_the_room(
    client: FlaskClient, rule: dict[str, Any], given: dict[str, Any], room: tuple[str | None, ...]
) -> None:
    answer = client.patch(f"{URL}/{rule['id']}", json={"room": given})
    assert answer.json["room"] == dict(zip(("type", "prefix", "id", "pin"), room, strict=True))


def test_room_fields_of_the_other_type_are_named(client: FlaskClient) -> None:
    for room, warning in (
        (
            {"type": "static", "id": "r1", "prefix": "support-"},
            "room.prefix was ignored: only a dynamic room has one.",
        ),
        ({"type": "dynamic", "id": "r1"}, "room.id was ignored: only a static room has one."),
    ):
        answer = client.post(URL, json={**MINIMAL, "phoneNumbers": [], "room": room})
        assert (answer.status_code, answer.json["warnings"]) == (201, [warning])


def test_update_clears_with_null(client: FlaskClient, rule: dict[str, Any]) -> None:
    names = ("agentId", "agentMetadata", "hidePhoneNumber", "tags", "recording", "dtmf")
    names += ("noiseCancellation", "allowedNumbers", "allowedIpAddresses", "includeHeaders")
    fresh = client.post(URL, json={**MINIMAL, "phoneNumbers": []}).json
    answer = client.patch(f"{URL}/{rule['id']}", json=dict.fromkeys(names))
    assert answer.status_code == 200
    assert {name: answer.json[name] for name in names} == {name: fresh[name] for name in names}


@pytest.mark.parametrize("fields", [{}, {"type": "inbound"}, {"colour": "red"}])
def test_update_without_a_field_to_edit_is_refused(
    client: FlaskClient, rule: dict[str, Any], fields: dict[str, str]
) -> None:
    for response in (
        client.patch(f"{URL}/{rule['id']}", json=fields),
        client.put(f"{OLDER}/{rule['id']}", json=fields),
    ):
        assert (response.status_code, response.json["message"]) == (
            400,
            "No editable fields provided",
        )


def test_the_type_is_fixed(client: FlaskClient, rule: dict[str, Any]) -> None:
    path = f"{URL}/{rule['id']}"
    assert client.patch(path, json={"type": "inbound", "name": "New"}).status_code == 200
    response = client.patch(path, json={"type": "outbound", "name": "New"})
    assert response.status_code == 400
    assert response.json["message"] == "type is fixed once the rule exists."


def test_delete_answers_as_documented_and_frees_the_number(
    client: FlaskClient, rule: dict[str, Any]
) -> None:
    response = client.delete(f"{URL}/{rule['id']}")
    assert response.status_code == 200
    assert response.data == orjson.dumps(
        {"message": "Routing rule deleted successfully", "ruleId": rule["id"]}
    )
    assert client.post(URL, json=MINIMAL).status_code == 201


@pytest.mark.parametrize(
    "ask",
    [
        lambda client: client.get(f"{URL}/rr_none"),
        lambda client: client.patch(f"{URL}/rr_none", json={"name": "x"}),
        lambda client: client.delete(f"{URL}/rr_none"),
        lambda client: client.get(f"{OLDER}/rr_none"),
        lambda client: client.put(f"{OLDER}/rr_none", json={"name": "x"}),
        lambda client: client.delete(f"{OLDER}/rr_none"),
    ],
)
def test_an_unknown_rule_is_404(client: FlaskClient, ask: Callable[[FlaskClient], Any]) -> None:
    response = ask(client)
    assert response.status_code == 404
    assert response.json == {"message": "Routing rule not found", "statusCode": 404}


def test_a_rule_that_changes_while_it_is_deleted_is_409(
    app: Flask, client: FlaskClient, stored: Rules, sqlite_database: Database
) -> None:
    """The store finds it changed between reading and deleting, which a test cannot time."""

    class Changing(Rules):
        def delete(self, rule: Rule) -> None:
            self.update(rule.id, lambda rule: replace(rule, name="Changed"))
            super().delete(rule)

    rule = a_rule()
    stored.add(rule)
    known = services_of(app)
    changing = replace(known.stores, routing_rules=Changing(sqlite_database, API_SECRET))
    install(app, replace(known, stores=changing))
    response = client.delete(f"{URL}/{rule.id}")
    assert response.status_code == Conflict.status
    assert "changed meanwhile" in response.json["message"]
    assert stored.get(rule.id).name == "Changed"


def test_the_list_has_pages_of_ten_newest_first(client: FlaskClient, stored: Rules) -> None:
    rules = [a_rule(numbers=(), name=f"Rule {number}") for number in range(12)]
    for each in rules:
        stored.add(each)
    answer = client.get(URL).json
    assert list(answer) == ["pageInfo", "data"]
    assert answer["pageInfo"] == {"currentPage": 1, "perPage": 10, "lastPage": 2, "total": 12}
    assert [item["id"] for item in answer["data"]] == [rule.id for rule in rules[:1:-1]]
    second = client.get(f"{URL}?page=2").json
    assert [item["id"] for item in second["data"]] == [rules[1].id, rules[0].id]
    # The same rules in the older spelling.
    assert client.get(OLDER).json["pageInfo"]["total"] == 12


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("type=outbound", "c"),
        ("type=inbound", "ba"),
        ("search=%2B1415", "cb"),
        ("search=^A", "a"),
        ("search=", "cba"),
        ("ruleIds=rr_a,rr_c", "ca"),
        ("ruleIds=rr_a&ruleIds=rr_b,rr_none", "ba"),
        ("ruleIds=rr_none", ""),
        ("roomType=dynamic", "a"),
        ("roomType=dynamic,static", "cba"),
        ("roomType=dynamic&roomType=static&type=outbound", "c"),
        ("perPage=1&page=2", "b"),
    ],
)
def test_the_list_is_filtered(
    client: FlaskClient, stored: Rules, query: str, expected: str
) -> None:
    dynamic = a_rule(id="rr_a", name="a", numbers=(), room=NEW_ROOM)
    stored.add(dynamic)
    stored.add(a_rule(id="rr_b", name="b"))
    stored.add(a_rule(id="rr_c", name="c", type=RuleType.OUTBOUND))
    found = client.get(f"{URL}?{query}").json["data"]
    assert "".join(item["name"] for item in found) == expected


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("type=both", "type must be one of inbound, outbound."),
        ("roomType=static,fixed", "roomType.1 must be one of static, dynamic."),
        ("page=0", "page must be a whole number from 1."),
        ("perPage=101", "perPage must be a whole number from 1 to 100."),
        ("search=" + "x" * 129, "search must be at most 128 characters long."),
    ],
)
def test_a_wrong_filter_is_400_and_named(client: FlaskClient, query: str, message: str) -> None:
    response = client.get(f"{URL}?{query}")
    assert (response.status_code, response.json["message"]) == (400, message)


def test_an_unknown_field_is_ignored_and_named(client: FlaskClient) -> None:
    answer = client.post(URL, json={**MINIMAL, "colour": "red", "room": {"floor": 3}})
    assert answer.status_code == 201
    assert sorted(answer.json["warnings"]) == [
        "Field colour is not known and was ignored.",
        "Field room.floor is not known and was ignored.",
    ]


def test_the_older_spelling_answers_with_the_older_object(client: FlaskClient) -> None:
    response = client.post(OLDER, json=OLDER_RULE)
    assert response.status_code == 201
    expected = {
        "id": response.json["id"],
        "name": "Support Line Rule",
        "type": "INBOUND",
        "numbers": ["+14150001111"],
        "gatewayId": "gateway_in_123456789",
        "dispatch": {
            "room": {"type": "static", "prefix": None, "id": "room_123", "pin": "4321"},
            "agent": OLDER_RULE["dispatch"]["agent"],
        },
        "hidePhoneNumber": False,
        "metadata": {"env": "production"},
        "tags": ["priority", "support"],
    }
    assert orjson.dumps(without(response.json, "warnings")) == orjson.dumps(expected)
    assert [sentence.partition(" ")[0] for sentence in response.json["warnings"]] == [
        "gatewayId",
        "dispatch.agent",
    ]
    assert client.get(f"{OLDER}/{response.json['id']}").json == expected


def test_both_spellings_are_of_the_same_rules(client: FlaskClient) -> None:
    older = client.post(OLDER, json=OLDER_RULE).json
    today = client.get(f"{URL}/{older['id']}").json
    assert today["room"] == older["dispatch"]["room"]
    assert (today["type"], today["agentId"]) == ("inbound", "deployment_abc123")
    assert today["agentMetadata"] == {"team": "sales"}
    client.patch(f"{URL}/{older['id']}", json={"name": "New", "agentId": None})
    answer = client.get(f"{OLDER}/{older['id']}").json
    assert (answer["name"], answer["dispatch"]["agent"]) == ("New", None)
    assert client.delete(f"{OLDER}/{older['id']}").json["ruleId"] == older["id"]
    assert client.get(URL).json["data"] == []


def test_the_older_update_is_partial(client: FlaskClient) -> None:
    older = without(client.post(OLDER, json=OLDER_RULE).json, "warnings")
    answer = client.put(
        f"{OLDER}/{older['id']}",
        json={"dispatch": {"room": {"id": "room_9"}, "agent": None}, "metadata": None},
    )
    assert answer.json == {
        **older,
        "dispatch": {
            "room": {"type": "static", "prefix": None, "id": "room_9", "pin": "4321"},
            "agent": None,
        },
        "metadata": {},
    }
    answer = client.put(f"{OLDER}/{older['id']}", json={"numbers": []})
    assert answer.json["numbers"] == []


def test_the_older_list_is_filtered_by_gateway_and_id(client: FlaskClient) -> None:
    first = client.post(OLDER, json=OLDER_RULE).json
    second = client.post(
        OLDER, json={**OLDER_RULE, "numbers": [], "gatewayId": "gw_2", "type": "OUTBOUND"}
    ).json
    assert second["type"] == "OUTBOUND"
    for query, expected in (
        ("gatewayId=gw_2", second),
        (f"id={first['id']}", first),
        ("search=4150001111", first),
    ):
        [found] = client.get(f"{OLDER}?{query}").json["data"]
        assert found["id"] == expected["id"]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"dispatch": None}, "dispatch must not be null."),
        (
            {"dispatch": {"room": {"type": "static"}}},
            "dispatch.room.id is required for a static room.",
        ),
        ({"type": "both"}, "type must be one of INBOUND, OUTBOUND."),
        ({"numbers": ["x"]}, f"numbers.0 {NUMBER}"),
        (
            {"dispatch": {"agent": {"type": "robot"}}},
            "dispatch.agent.type must be one of cloud, self.",
        ),
    ],
)
def test_older_spelling_has_its_own_field_names_in_errors(
    client: FlaskClient, fields: dict[str, Any], message: str
) -> None:
    response = client.post(OLDER, json={**OLDER_RULE, **fields})
    assert (response.status_code, response.json["message"]) == (400, message)


@pytest.mark.parametrize("name", ["name", "numbers", "dispatch"])
def test_older_create_has_its_own_required_fields(client: FlaskClient, name: str) -> None:
    response = client.post(OLDER, json=without(OLDER_RULE, name))
    assert (response.status_code, response.json["message"]) == (400, f"{name} is required.")


def test_no_pin_is_logged(client: FlaskClient, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    client.post(URL, json={**MINIMAL, "room": {"pin": "9183745"}})
    client.post(URL, json={**MINIMAL, "room": {"pin": "9183745x"}})
    assert "9183745" not in caplog.text


def test_rule_with_an_unreadable_pin_warns_and_keeps_it(
    client: FlaskClient, stored: Rules, sqlite_database: Database
) -> None:
    rule = a_rule(room=replace(NEW_ROOM, pin="4711"))
    Rules(sqlite_database, "another secret").add(rule)
    found = client.get(f"{URL}/{rule.id}").json
    assert found["room"]["pin"] is None
    sentence = (
        f"The PIN of {rule.id} cannot be read with this API_SECRET: set it again, or to null; "
        "until then the rule lets nobody in."
    )
    assert found["warnings"] == [sentence]
    for change in ({"name": "New"}, {"room": {"type": "static", "id": "r2"}}):
        assert client.patch(f"{URL}/{rule.id}", json=change).status_code == 200
        assert stored.get(rule.id).room.is_locked
    client.patch(f"{URL}/{rule.id}", json={"room": {"pin": "12"}})
    assert stored.get(rule.id).room.pin == "12"
