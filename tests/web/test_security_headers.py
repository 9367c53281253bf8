"""Security headers of every answer."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from flask import Flask, Response
from flask.testing import FlaskClient

from service.web.services import services_of
from tests.support.records import a_connector

ANYWHERE = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
CALL = {"CallSid": "CA1", "From": "+14155550100", "To": "+14155550199", "CallStatus": "ringing"}


def found(response: Response) -> dict[str, str | None]:
    return {name: response.headers.get(name) for name in ANYWHERE}


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v2/connectors", 200),
        ("POST", "/v2/connectors", 400),
        ("GET", "/v2/connectors/cn_none", 404),
        ("PUT", "/v2/connectors", 405),
        ("OPTIONS", "/v2/connectors", 204),
        ("POST", "/v2/hooks/twilio/whk_none", 404),
        ("GET", "/videosdk", 400),
        ("GET", "/nowhere", 404),
        ("GET", "/healthz", 200),
        ("GET", "/openapi.json", 200),
    ],
)
def test_every_answer_has_the_headers(
    client: FlaskClient, method: str, path: str, status: int
) -> None:
    response = client.open(path, method=method, json={} if method == "POST" else None)
    assert response.status_code == status
    assert found(response) == ANYWHERE
    assert response.headers["Strict-Transport-Security"] == "max-age=31536000"


def test_errors_and_markup_have_the_headers_too(app: Flask, client: FlaskClient) -> None:
    @app.get("/fails")
    def fails() -> str:
        raise RuntimeError

    connector = a_connector()
    services_of(app).stores.connectors.add(connector)
    markup = client.post(f"/v2/hooks/twilio/{connector.webhook_key}", data=CALL)
    assert markup.mimetype == "text/xml"
    refused = app.test_client().get("/v2/connectors")
    assert refused.status_code == 401
    for response in (markup, refused, client.get("/fails")):
        assert found(response) == ANYWHERE


def test_a_page_of_another_origin_may_still_read_the_api(client: FlaskClient) -> None:
    response = client.get("/v2/connectors", headers={"Origin": "https://page.example"})
    assert response.headers["Access-Control-Allow-Origin"] == "*"


def test_hsts_is_sent_only_with_an_https_public_url(
    app_without_public_url: Flask, authorised: Callable[..., FlaskClient]
) -> None:
    response = authorised(app_without_public_url).get("/v2/connectors")
    assert found(response) == ANYWHERE
    assert "Strict-Transport-Security" not in response.headers


def test_view_may_set_its_own_headers(app: Flask, client: FlaskClient) -> None:
    @app.get("/page")
    def page() -> Response:
        return Response("<p>", headers={"Cache-Control": "public", "X-Frame-Options": "SAMEORIGIN"})

    response = client.get("/page")
    assert response.headers["Cache-Control"] == "public"
    assert response.headers.getlist("X-Frame-Options") == ["SAMEORIGIN"]
    assert response.headers["X-Content-Type-Options"] == "nosniff"
