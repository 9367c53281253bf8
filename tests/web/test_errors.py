"""The JSON shape of every failure."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from marshmallow import ValidationError
from werkzeug.exceptions import TooManyRequests

from service.errors import (
    Busy,
    Conflict,
    Forbidden,
    Gone,
    Invalid,
    NotFound,
    RemoteError,
    ServiceError,
    Unauthorized,
    UnsupportedMedia,
)
from service.telemetry.logs import KEPT, Troubles


def failing(app: Flask, error: Exception) -> Any:
    """The answer of a route that raises ``error``."""

    @app.get("/v2/fails/<secret>")
    def fails(secret: str) -> str:
        raise error

    return app.test_client().get("/v2/fails/whk_secret", headers={"x-request-id": "r-1"})


@pytest.mark.parametrize(
    ("error", "status", "level"),
    [
        (Invalid("No."), 400, logging.INFO),
        (UnsupportedMedia("No."), 415, logging.INFO),
        (Unauthorized("No."), 401, logging.INFO),
        (Forbidden("No."), 403, logging.WARNING),
        (NotFound("No."), 404, logging.INFO),
        (Conflict("No."), 409, logging.INFO),
        (Gone("No."), 410, logging.INFO),
        (Busy("No."), 503, logging.WARNING),
        (RemoteError("No."), 400, logging.WARNING),
        (ServiceError("No."), 500, logging.ERROR),
    ],
    ids=lambda value: type(value).__name__,
)
def test_each_service_error_has_its_status_sentence_and_log_level(
    app: Flask, caplog: pytest.LogCaptureFixture, error: ServiceError, status: int, level: int
) -> None:
    caplog.set_level(logging.INFO, "service.web.errors")
    response = failing(app, error)
    assert response.status_code == status
    assert response.content_type == "application/json"
    assert list(response.json.items()) == [("message", "No."), ("statusCode", status)]
    (record,) = [found for found in caplog.records if found.name == "service.web.errors"]
    assert record.levelno == level
    assert record.getMessage() == f"{type(error).__name__}: No."


def test_many_errors_of_a_class_displace_none_of_another(
    app: Flask, caplog: pytest.LogCaptureFixture
) -> None:
    many = [RemoteError(str(number)) for number in range(KEPT)]
    errors = iter([Busy("Full."), *many])

    @app.get("/v2/fails")
    def fails() -> str:
        raise next(errors)

    client, troubles = app.test_client(), Troubles()
    for _ in range(1 + KEPT):
        client.get("/v2/fails")
    for record in caplog.records:
        troubles.handle(record)
    assert troubles.last()[-1].message == "Busy: Full."


def test_busy_has_retry_after(app: Flask) -> None:
    assert failing(app, Busy("Full.", retry_after=30)).headers["Retry-After"] == "30"


def test_only_401_has_a_challenge(app: Flask) -> None:
    assert "WWW-Authenticate" not in failing(app, Forbidden("No.")).headers


def test_field_detail_of_a_service_error_is_kept(app: Flask) -> None:
    response = failing(app, Invalid("name is odd.", errors={"name": ["name is odd."]}))
    assert response.json["errors"] == {"name": ["name is odd."]}


def test_nested_errors_have_dotted_names(app: Flask) -> None:
    error = ValidationError({"a": {"b": ["is odd", "is long"], "_schema": ["is no object"]}})
    assert failing(app, error).json == {
        "message": "a.b is odd.",
        "statusCode": 400,
        "errors": {"a.b": ["a.b is odd.", "a.b is long."], "a": ["a is no object."]},
    }


def test_unhandled_exception_is_500_without_detail_and_logged(
    app: Flask, caplog: pytest.LogCaptureFixture
) -> None:
    response = failing(app, RuntimeError("the password is hunter2"))
    assert response.status_code == 500
    assert response.json == {"message": "Something went wrong on our side.", "statusCode": 500}
    assert response.headers["x-request-id"] == "r-1"
    (record,) = [found for found in caplog.records if found.name == "service.web.errors"]
    assert record.levelno == logging.ERROR
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], RuntimeError)


def test_unknown_address_is_json_without_the_address(client: FlaskClient) -> None:
    for path in (
        *("/v1/rooms", "/v2/whk_secret", "/v2/connectors/", "/v2/sip/call/a/b"),
        *("//v2/connectors", "/v2//connectors", "/v2/connectors//cn_1", "/v2/hooks//twilio/whk_x"),
    ):
        response = client.get(path)
        assert response.status_code == 404
        assert response.json == {"message": "There is nothing at this address.", "statusCode": 404}


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/healthz", 200),
        ("/openapi.json", 200),
        ("/v2/connectors", 200),
        ("/v2/connectors/cn_1", 404),
        ("/v2/sip/call?page=0", 400),
        ("/twilio/unknown", 400),
        ("/v2/nowhere", 404),
        ("/v2/ingest/sessions", 405),
    ],
)
def test_head_is_get_without_the_body(client: FlaskClient, path: str, status: int) -> None:
    head, get = client.head(path), client.get(path)
    assert (head.status_code, head.data) == (status, b"")
    assert head.content_type == get.content_type == "application/json"
    assert head.content_length == get.content_length == len(get.data)


def test_options_outside_v2_lists_the_methods(client: FlaskClient) -> None:
    response = client.options("/healthz")
    assert (response.status_code, response.data) == (200, b"")
    assert set(response.allow) == {"GET", "HEAD", "OPTIONS"}


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "/v2/connectors", {"GET", "HEAD", "OPTIONS", "POST"}),
        ("GET", "/v2/ingest/sessions", {"OPTIONS", "POST"}),
        ("PUT", "/v2/sip/call", {"GET", "HEAD", "OPTIONS", "POST"}),
        ("GET", "/v2/connectors/cn_1/rotate-key", {"OPTIONS", "POST"}),
        ("DELETE", "/healthz", {"GET", "HEAD", "OPTIONS"}),
    ],
)
def test_wrong_method_is_405_with_the_allowed_ones(
    client: FlaskClient, method: str, path: str, allowed: set[str]
) -> None:
    response = client.open(path, method=method)
    assert response.status_code == 405
    assert set(response.allow) == allowed
    assert response.json == {
        "message": "This address does not answer to that method.",
        "statusCode": 405,
    }


def test_other_http_errors_keep_their_headers_and_get_the_shape(app: Flask) -> None:
    response = failing(app, TooManyRequests(retry_after=3))
    assert response.status_code == 429
    assert response.headers["Retry-After"] == "3"
    assert response.headers.getlist("Content-Type") == ["application/json"]
    assert response.json == {"message": "Too Many Requests.", "statusCode": 429}
