"""Pages of any origin may call /v2, and nothing else."""

from __future__ import annotations

import pytest
from flask import Flask
from flask.testing import FlaskClient

ORIGIN = {"Origin": "https://page.example"}


@pytest.mark.parametrize(
    "path",
    [
        "/v2/connectors",
        "/v2/connectors/cn_1",
        "/v2/connectors/cn_1/rotate-key",
        "/v2/ingest/sessions",
        "/v2/sip/call",
        "/v2/sip/call/end",
        "/v2/nowhere",
    ],
)
def test_a_preflight_is_answered_without_a_token(app: Flask, path: str) -> None:
    response = app.test_client().options(
        path,
        headers={
            **ORIGIN,
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization,content-type",
        },
    )
    assert response.status_code == 204
    assert response.data == b""
    assert response.headers["Access-Control-Allow-Origin"] == "*"
    assert response.headers["Access-Control-Allow-Headers"] == "Authorization, Content-Type"
    assert response.headers["Access-Control-Allow-Methods"] == "GET, HEAD, POST, PUT, PATCH, DELETE"
    assert response.headers["Access-Control-Max-Age"] == "86400"
    assert "x-request-id" in response.headers


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v2/connectors", 200),
        ("POST", "/v2/ingest/sessions", 400),
        ("GET", "/v2/connectors/cn_none", 404),
        ("PUT", "/v2/connectors", 405),
        ("GET", "/v2/nowhere", 404),
    ],
)
def test_pages_of_any_origin_may_read_every_answer(
    client: FlaskClient, method: str, path: str, status: int
) -> None:
    response = client.open(path, method=method, headers=ORIGIN)
    assert response.status_code == status
    assert response.headers["Access-Control-Allow-Origin"] == "*"
    assert response.headers["Access-Control-Expose-Headers"] == "x-request-id"


def test_pages_of_any_origin_may_read_errors_too(app: Flask) -> None:
    @app.get("/v2/fails")
    def fails() -> str:
        raise RuntimeError

    for path, status in (("/v2/connectors", 401), ("/v2/fails", 500)):
        response = app.test_client().get(path, headers=ORIGIN)
        assert response.status_code == status
        assert response.headers["Access-Control-Allow-Origin"] == "*"


def test_health_is_not_offered_to_pages(client: FlaskClient) -> None:
    for response in (client.get("/healthz", headers=ORIGIN), client.options("/healthz")):
        assert response.status_code == 200
        assert not [name for name in dict(response.headers) if name.startswith("Access-Control")]
