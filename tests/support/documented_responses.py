"""Check of every response of an app against the OpenAPI document."""

from __future__ import annotations

import json
import re
from functools import cache
from typing import Any

from flask import Flask
from flask.testing import FlaskClient
from jsonschema import Draft202012Validator
from werkzeug.exceptions import HTTPException
from werkzeug.test import TestResponse

from service.api import register
from service.api.schemas.call_events import EVENT
from service.providers import load
from service.web.openapi.document import VARIABLE, document

PROBLEM = {"$ref": "#/components/schemas/Problem"}


class Undocumented(AssertionError):
    """A response that the document does not contain."""


class DocumentedClient(FlaskClient):
    """A test client that accepts only documented responses."""

    def open(self, *args: Any, **kwargs: Any) -> TestResponse:
        response = super().open(*args, **kwargs)
        check_response(self.application, response)
        return response


def check_response(app: Flask, response: TestResponse) -> None:
    """Raise ``Undocumented`` if the document has no such response to the request."""
    request = response.request
    if request.method == "OPTIONS":
        return
    method = "GET" if request.method == "HEAD" else request.method
    try:
        rule, _ = app.url_map.bind("").match(request.path, method, return_rule=True)
    except HTTPException as error:
        # Not the response of an endpoint: the document's schema of all errors applies.
        _require(response.status_code == error.code, response, "has another status")
        _check_body(response, {"content": {"application/json": {"schema": PROBLEM}}})
        return
    if (
        "." in rule.endpoint
        and not rule.rule.startswith(("/console", "/internal"))
        and rule.rule != "/"
    ):
        _check_operation(response, _operation(rule.rule, method))


def _check_operation(response: TestResponse, operation: dict[str, Any]) -> None:
    documented = operation["responses"].get(str(response.status_code))
    _require(documented is not None, response, f"is none of {', '.join(operation['responses'])}")
    if "$ref" in documented:
        name = documented["$ref"].rpartition("/")[2]
        documented = _document()["components"]["responses"][name]
    for header in documented.get("headers", ()):
        _require(header in response.headers, response, f"lacks {header}")
    _check_body(response, documented)


def _check_body(response: TestResponse, documented: dict[str, Any]) -> None:
    content = documented.get("content", {})
    if not content:
        _require(not response.data, response, "has a body")
        return
    _require(response.mimetype in content, response, f"is {response.mimetype}")
    if response.is_json and response.request.method != "HEAD":
        schema = json.dumps(content[response.mimetype]["schema"])
        for error in _validator(schema).iter_errors(response.json):
            _require(False, response, f"is wrong at {error.json_path}: {error.message}")


@cache
def _validator(schema: str) -> Draft202012Validator:
    return Draft202012Validator({**json.loads(schema), "components": _document()["components"]})


@cache
def _document() -> dict[str, Any]:
    """Return the document, generated once: every app has the same endpoints."""
    app = Flask("documented_responses")
    app.config["PROVIDERS"] = tuple(load())
    register(app)
    with app.app_context():
        return document(app, EVENT)


@cache
def _operation(rule: str, method: str) -> dict[str, Any]:
    pattern = VARIABLE.sub("{}", rule)
    (path,) = [path for path in _document()["paths"] if re.sub(r"{\w+}", "{}", path) == pattern]
    operation: dict[str, Any] = _document()["paths"][path][method.lower()]
    return operation


def _require(holds: bool, response: TestResponse, complaint: str) -> None:
    if not holds:
        request = response.request
        raise Undocumented(
            f"The {response.status_code} of {request.method} {request.path} {complaint}."
        )
