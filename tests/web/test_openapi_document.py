"""The OpenAPI document: valid, complete, and in agreement with the responses of every endpoint.

Every test of the API checks each response against it (``tests.support.documented_responses``).
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from flask import Blueprint, Flask, Response
from flask.testing import FlaskClient
from marshmallow import Schema, fields
from openapi_spec_validator import validate

from service.api import GUARDED, openapi
from service.api.schemas.call_events import EVENT
from service.domain.paging import Page
from service.errors import Conflict
from service.providers import load
from service.web import responses, url_converters
from service.web.declarations import Envelope, Reply, declare, declared, refuses, replies
from service.web.openapi.document import VARIABLE, document
from tests.support.documented_responses import Undocumented


@pytest.fixture
def written(app: Flask) -> dict[str, Any]:
    """The document, read without a token."""
    response = app.test_client().get("/openapi.json")
    assert (response.status_code, response.content_type) == (200, "application/json")
    found: dict[str, Any] = response.json
    return found


def of(blueprint: Blueprint) -> dict[str, Any]:
    """The document of an app that has this blueprint only."""
    app = Flask("one", static_folder=None)
    app.url_map.converters["id"] = url_converters.IdConverter
    app.register_blueprint(blueprint)
    return document(app, EVENT)


def test_it_is_a_valid_openapi_document(written: dict[str, Any]) -> None:
    validate(written)
    assert written["openapi"].startswith("3.1.")


def test_its_server_is_the_public_url(written: dict[str, Any]) -> None:
    assert written["servers"] == [{"url": "https://voice.example.com"}]


def test_its_server_is_the_requested_one_without_a_public_url(
    app_without_public_url: Flask,
) -> None:
    client = app_without_public_url.test_client()
    for origin in ("https://a.example", "http://b.example:8000"):
        found = client.get("/openapi.json", base_url=origin).json
        assert found["servers"] == [{"url": origin}]


def test_it_is_built_once(app: Flask) -> None:
    with app.app_context():
        first = openapi.written(app.config["PROVIDERS"])
        assert openapi.written(app.config["PROVIDERS"]) is first


def test_a_page_of_any_origin_may_read_it(app: Flask) -> None:
    response = app.test_client().get("/openapi.json", headers={"Origin": "https://page.example"})
    assert response.headers["Access-Control-Allow-Origin"] == "*"


def test_apispec_is_imported_on_request_only() -> None:
    code = "import sys, service.app; sys.exit('apispec' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_every_method_of_every_address_is_in_it(app: Flask, written: dict[str, Any]) -> None:
    served = {
        (VARIABLE.sub(r"{\g<name>}", rule.rule), method.lower())
        for rule in app.url_map.iter_rules()
        # The console's pages and what only they and other nodes ask are no part of the API.
        if not rule.endpoint.startswith(("console_", "nodes."))
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    found = {(path, method) for path, item in written["paths"].items() for method in item}
    assert found == served
    assert len(served) >= 19


def test_every_blueprint_is_a_tag_with_a_description(written: dict[str, Any]) -> None:
    tags = {tag["name"]: tag["description"] for tag in written["tags"]}
    assert set(tags) == {blueprint.name for blueprint, _ in GUARDED} - {"nodes"}
    assert all(tags.values())


def test_operation_ids_are_unique(written: dict[str, Any]) -> None:
    ids = [
        operation["operationId"]
        for item in written["paths"].values()
        for operation in item.values()
    ]
    assert len(set(ids)) == len(ids)
    assert {"connectors_create", "hooks_answer_get", "hooks_answer_post"} <= set(ids)


def test_declarations_of_a_guard_hold_for_its_handlers(written: dict[str, Any]) -> None:
    schemes = written["components"]["securitySchemes"]
    for path, item in written["paths"].items():
        for operation in item.values():
            guarded = path == "/metrics" or (
                path.startswith("/v2/") and not path.startswith(("/v2/hooks/", "/v2/public/"))
            )
            assert bool(operation["security"]) == guarded
            assert ({"401", "403"} <= set(operation["responses"])) == guarded
            for alternative in operation["security"]:
                assert set(alternative) <= set(schemes)


def test_statuses_follow_from_the_request(written: dict[str, Any]) -> None:
    for path, item in written["paths"].items():
        for operation in item.values():
            statuses = set(operation["responses"])
            assert {"400", "414", "431", "500"} <= statuses
            assert ("429" in statuses) or not statuses & {"401", "403"}
            assert "404" in statuses or "{" not in path
            content = operation.get("requestBody", {}).get("content", {})
            assert ("415" in statuses) == ("application/json" in content)
            if content:
                assert "413" in statuses


def statuses(written: dict[str, Any], method: str, path: str) -> list[str]:
    return list(written["paths"][path][method]["responses"])


def test_refusals_of_a_handler_and_of_its_guard_are_in_it(written: dict[str, Any]) -> None:
    assert "503" in statuses(written, "post", "/v2/ingest/sessions")
    assert "404" in statuses(written, "post", "/v2/sip/call/end")
    for path in ("/videosdk", *(f"/{name}/{{ref}}" for name in load())):
        assert {"101", "404", "410", "503"} <= set(statuses(written, "get", path))
    assert statuses(written, "get", "/readyz") == ["200", "400", "414", "431", "500", "503"]


def test_an_envelope_has_its_members_in_their_order(written: dict[str, Any]) -> None:
    def members(method: str, path: str, status: str) -> tuple[list[str], list[str], dict[str, Any]]:
        answer = written["paths"][path][method]["responses"][status]
        shape = answer["content"]["application/json"]["schema"]
        assert shape["additionalProperties"] is False
        return list(shape["properties"]), shape["required"], shape["properties"]

    names, required, found = members("get", "/v2/sip/call", "200")
    assert names == ["statusCode", "pageInfo", "data", "warnings"]
    assert required == ["statusCode", "pageInfo", "data"]
    assert found["statusCode"] == {"type": "integer", "const": 200}
    assert found["data"] == {"type": "array", "items": {"$ref": "#/components/schemas/CallData"}}

    names, required, found = members("post", "/v2/connectors", "201")
    assert names == ["message", "data", "warnings"]
    assert found["message"]["const"] == "Connector created successfully"
    assert found["data"] == {"$ref": "#/components/schemas/ConnectorData"}

    assert members("get", "/v2/connectors", "200")[2]["data"]["type"] == "array"
    assert members("delete", "/v2/connectors/{connector_id}", "200")[1] == ["message"]


def test_requests_are_described_as_they_are_validated(written: dict[str, Any]) -> None:
    schemas = written["components"]["schemas"]
    assert schemas["NewConnector"]["required"] == ["provider"]
    properties = schemas["NewConnector"]["properties"]
    assert properties["provider"] == {"type": "string", "enum": ["twilio", "plivo", "telnyx"]}
    assert properties["name"]["type"] == ["string", "null"]
    assert properties["name"]["maxLength"] == 128
    assert properties["defaultRoomId"]["pattern"].startswith("^[^")
    assert schemas["NewIngestSession"]["properties"]["participant"] == {
        "anyOf": [{"$ref": "#/components/schemas/ParticipantFields"}, {"type": "null"}]
    }
    create = written["paths"]["/v2/connectors"]["post"]
    assert create["requestBody"]["required"] is True
    parameters = {
        parameter["name"]: parameter["schema"]
        for parameter in written["paths"]["/v2/sip/call"]["get"]["parameters"]
    }
    assert parameters["page"] == {"type": "integer", "minimum": 1, "maximum": 999_999_999}
    assert parameters["perPage"] == {"type": "integer", "minimum": 1, "maximum": 100}
    assert "answered" in parameters["status"]["enum"]


def test_webhook_accepts_any_parameters_and_answers_with_markup(written: dict[str, Any]) -> None:
    item = written["paths"]["/v2/hooks/{provider}/{key}"]
    assert list(item["post"]["requestBody"]["content"]) == ["application/x-www-form-urlencoded"]
    assert item["get"]["parameters"][-1]["schema"]["type"] == "object"
    for operation in item.values():
        assert list(operation["responses"]["200"]["content"]) == ["text/xml"]


def test_every_answer_but_an_upgrade_has_a_request_id(written: dict[str, Any]) -> None:
    kept = written["components"]["responses"]
    for item in written["paths"].values():
        for operation in item.values():
            for status, response in operation["responses"].items():
                response = kept.get(response.get("$ref", "").rpartition("/")[2], response)
                assert ("x-request-id" in response.get("headers", ())) == (status != "101")
    assert "WWW-Authenticate" in kept["Unauthorized"]["headers"]
    assert "Retry-After" in kept["ServiceUnavailable"]["headers"]


def test_handler_without_an_answer_raises_with_its_name() -> None:
    hidden = Blueprint("hidden", __name__)

    @hidden.get("/hidden")
    def undeclared() -> str:
        return "here"

    with pytest.raises(LookupError, match=r"undeclared declares no answer\."):
        of(hidden)


def test_paths_that_differ_in_the_name_of_an_id_are_one() -> None:
    twice = Blueprint("twice", __name__)

    @twice.get("/things/<id:key>")
    @responses.answer(None)
    def get(key: str) -> None: ...

    @twice.delete("/things/<id:thing_id>")
    @responses.answer(None)
    def delete(thing_id: str) -> None: ...

    found = of(twice)
    validate(found)
    assert list(found["paths"]) == ["/things/{key}"]
    for operation in found["paths"]["/things/{key}"].values():
        assert [parameter["name"] for parameter in operation["parameters"]] == ["key"]


def test_a_handler_at_two_addresses_has_two_operation_ids() -> None:
    aliased = Blueprint("aliased", __name__)

    @aliased.get("/things")
    @aliased.get("/things/")
    @responses.answer(None)
    def index() -> None: ...

    found = of(aliased)
    validate(found)
    assert [item["get"]["operationId"] for item in found["paths"].values()] == [
        "aliased_index",
        "aliased_index_2",
    ]


@dataclass(frozen=True, slots=True)
class Thing:
    name: str | None


class ThingData(Schema):
    name = fields.String()


def described(envelope: Envelope, returned: object) -> dict[str, Any]:
    """The shape of the answer of a handler that returns ``returned``."""
    things = Blueprint("things", __name__)

    def get() -> None: ...

    get.__annotations__["return"] = returned
    things.get("/thing")(declare(get, envelope=envelope))
    found = of(things)
    validate(found)
    answer = found["paths"]["/thing"]["get"]["responses"][str(envelope.status)]
    shape: dict[str, Any] = answer["content"]["application/json"]["schema"]
    return shape


def test_a_bare_object_has_its_members_beside_the_warnings() -> None:
    shape = described(Envelope(ThingData(), status=201, in_data=False), Thing)
    assert list(shape["properties"]) == ["name", "warnings"]
    assert shape["properties"]["name"] == {"type": ["string", "null"]}
    assert shape["required"] == ["name"]


def test_a_bare_message_is_a_string() -> None:
    envelope = Envelope(None, message="Gone for good.", in_data=False)
    assert described(envelope, None) == {"type": "string", "const": "Gone for good."}


def test_single_item_of_a_page_is_an_object() -> None:
    shape = described(Envelope(ThingData(), single=True), Page[Thing])
    assert shape["required"] == ["pageInfo", "data"]
    assert shape["properties"]["data"] == {"$ref": "#/components/schemas/ThingData"}


def test_reply_replaces_a_refusal_of_its_status() -> None:
    secret = Blueprint("secret", __name__)

    @secret.get("/secret")
    @replies(Reply(200, "Let in."), Reply(409, "No word about why.", content_type=None))
    @refuses(Conflict)
    def get() -> None: ...

    responses = of(secret)["paths"]["/secret"]["get"]["responses"]
    assert responses["409"]["description"] == "No word about why."
    assert "content" not in responses["409"]


def test_a_declaration_passes_through_wrappers_and_touches_no_other_handler() -> None:
    @responses.answer(None, status=201)
    @refuses(Conflict)
    def one() -> None: ...

    @responses.answer(None)
    def other() -> None: ...

    assert declared(one).refusals == (Conflict,)
    assert declared(one).envelope is not None
    assert declared(other).refusals == ()


def spoiled(app: Flask, spoil: Callable[[Response], Response]) -> FlaskClient:
    """A client of an app that changes each answer at the last moment."""
    app.after_request_funcs[None].insert(0, spoil)
    return app.test_client()


def test_judged_client_refuses_an_undeclared_status(app: Flask, client: FlaskClient) -> None:
    def refuse() -> None:
        raise Conflict("Not now.")

    app.before_request(refuse)
    with pytest.raises(Undocumented, match=r"The 409 of GET /v2/connectors is none of 200, 400"):
        client.get("/v2/connectors")


def test_judged_client_refuses_an_undeclared_member(app: Flask) -> None:
    def add(response: Response) -> Response:
        response.data = response.data.replace(b"{", b'{"more":1,', 1)
        return response

    with pytest.raises(Undocumented, match="'more' was unexpected"):
        spoiled(app, add).get("/healthz")


def test_judged_client_refuses_an_undeclared_content_type(app: Flask) -> None:
    def retype(response: Response) -> Response:
        response.content_type = "text/html"
        return response

    with pytest.raises(Undocumented, match="is text/html"):
        spoiled(app, retype).get("/healthz")


def test_judged_client_refuses_a_missing_header(app: Flask) -> None:
    def drop(response: Response) -> Response:
        del response.headers["WWW-Authenticate"]
        return response

    with pytest.raises(Undocumented, match="lacks WWW-Authenticate"):
        spoiled(app, drop).get("/v2/connectors")
