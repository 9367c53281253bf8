"""``/internal/nodes``: messages of other machines, with the token of a node."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import jwt
import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from service.cluster.address import address
from service.cluster.channel import Frame
from service.cluster.listener import Listener
from service.cluster.messages import (
    Accepted,
    Answer,
    GetLevels,
    GetStats,
    Message,
    Rejected,
    decode_answer,
    encode,
)
from service.cluster.node_client import path_of
from service.cluster.peers import Peers
from service.cluster.remote_requests import RemoteRequests
from service.security.node_tokens import NodeTokens
from service.web.services import install, services_of
from tests.support.apps import API_SECRET
from tests.support.clocks import FakeClock
from tests.support.running_nodes import private_folder
from tests.support.statements import said

QUESTION = encode(GetStats(("call",)))


def act(message: Message, frame: Frame) -> Answer:
    if isinstance(message, GetLevels):
        raise TimeoutError("The media engine does not answer.")
    return Accepted(repr(message))


@pytest.fixture
def folder() -> Iterator[Path]:
    with private_folder() as path:
        yield path


@pytest.fixture
def client(app: Flask, folder: Path, clock: FakeClock) -> Iterator[FlaskClient]:
    """A client of node ``nd_one``, whose machine may serve beside others."""
    near = Peers(folder, "nd_one")
    requests = RemoteRequests("nd_one", act, near, NodeTokens(API_SECRET), clock)
    install(app, replace(services_of(app), remote_requests=requests))
    yield app.test_client()
    near.close()


def post(
    client: FlaskClient, clock: FakeClock, body: bytes = QUESTION, node_id: str = "nd_one"
) -> TestResponse:
    token = NodeTokens(API_SECRET).sign("nd_far", path_of(node_id), body, clock.now())
    headers = {"Authorization": f"Bearer {token}"}
    return client.post(path_of(node_id), data=body, headers=headers)


def refused(app: Flask) -> float:
    found = services_of(app).metrics.registry.get_sample_value(
        "patchbay_cluster_refused_total", {"transport": "http"}
    )
    return found or 0.0


def test_a_message_is_answered(client: FlaskClient, clock: FakeClock) -> None:
    response = post(client, clock)
    assert (response.status_code, response.content_type) == (200, "application/json")
    assert decode_answer(response.data) == Accepted(repr(GetStats(("call",))))


def test_without_node_url_there_is_nothing_here(app: Flask, clock: FakeClock) -> None:
    response = post(app.test_client(), clock)
    assert response.status_code == 404
    assert response.json["message"] == "There is nothing at this address."


def test_a_message_for_another_worker_is_passed_on(
    client: FlaskClient, clock: FakeClock, folder: Path
) -> None:
    listener = Listener(folder, "nd_two", lambda message, frame: Accepted("of two"))
    listener.start()
    response = post(client, clock, node_id="nd_two")
    listener.stop()
    assert decode_answer(response.data) == Accepted("of two")


def test_a_node_of_another_machine_is_404(
    app: Flask, client: FlaskClient, clock: FakeClock
) -> None:
    response = post(client, clock, node_id="nd_other")
    assert response.status_code == 404
    assert response.json["message"] == "Node nd_other is not on this machine."
    assert refused(app) == 1


def test_the_refusal_of_another_worker_is_passed_on(
    client: FlaskClient, clock: FakeClock, folder: Path
) -> None:
    listener = Listener(folder, "nd_two", lambda message, frame: Rejected("not today"))
    listener.start()
    response = post(client, clock, node_id="nd_two")
    listener.stop()
    assert response.status_code == 200
    assert decode_answer(response.data) == Rejected("not today")


def test_a_worker_that_does_not_answer_is_503(
    client: FlaskClient, clock: FakeClock, folder: Path
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as dead:
        dead.bind(address(folder, "nd_two"))
    response = post(client, clock, node_id="nd_two")
    assert response.status_code == 503
    assert response.json["message"] == "Node nd_two is gone."


def test_an_engine_that_does_not_answer_is_told_as_such(
    client: FlaskClient, clock: FakeClock
) -> None:
    answer = decode_answer(post(client, clock, encode(GetLevels())).data)
    assert answer == Rejected("The media engine does not answer.")


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (b"no message", "A message must be JSON."),
        (b'["GetStats",{"call_ids":7}]', "call_ids must be a list."),
        (b'["AdoptSocket",{"leg":{},"state":null}]', "fields than expected"),
    ],
)
def test_a_malformed_message_is_400(
    app: Flask, client: FlaskClient, clock: FakeClock, body: bytes, sentence: str
) -> None:
    response = post(client, clock, body)
    assert response.status_code == 400
    assert sentence in response.json["message"]
    assert refused(app) == 1


def test_a_long_body_is_refused_before_its_token(client: FlaskClient, clock: FakeClock) -> None:
    response = post(client, clock, b"x" * (64 * 1024 + 1))
    assert response.status_code == 400
    assert response.json["message"] == "Request body is larger than 64 KB."


def test_a_request_without_a_token_is_403_logged_and_counted(
    app: Flask, client: FlaskClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    response = client.post(path_of("nd_one"), data=QUESTION)
    assert response.status_code == 403
    assert "must have the token of a node" in response.json["message"]
    assert "Forged: Authorization header must have the token of a node" in caplog.text
    # Anybody can send it: it must not displace the warnings that the console shows.
    assert all(record.levelno <= logging.INFO for record in caplog.records)
    assert refused(app) == 1


def test_an_access_token_is_403(client: FlaskClient, token: Callable[..., str]) -> None:
    for header in (token(), f"Bearer {token()}"):
        headers = {"Authorization": header}
        assert client.post(path_of("nd_one"), data=QUESTION, headers=headers).status_code == 403


def test_a_node_token_is_no_access_token(app: Flask, client: FlaskClient, clock: FakeClock) -> None:
    token = NodeTokens(API_SECRET).sign("nd_far", "/v2/connectors", b"", clock.now())
    claims = jwt.decode(token, options={"verify_signature": False})
    assert "apikey" not in claims
    headers = {"Authorization": f"Bearer {token}"}
    assert app.test_client().get("/v2/connectors", headers=headers).status_code == 401


def test_a_late_request_is_403_and_names_the_clock(
    client: FlaskClient, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    token = NodeTokens(API_SECRET).sign("nd_far", path_of("nd_one"), QUESTION, clock.now())
    clock.advance(60)
    headers = {"Authorization": f"Bearer {token}"}
    response = client.post(path_of("nd_one"), data=QUESTION, headers=headers)
    assert response.status_code == 403
    assert "The clock of nd_far is 60 s behind this machine's" in caplog.text
    assert [record.levelno for record in caplog.records if "Forbidden" in record.message] == [
        logging.WARNING
    ]


def test_many_failures_of_an_address_leave_valid_tokens_alone(
    client: FlaskClient, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    statuses = [client.post(path_of("nd_one"), data=QUESTION).status_code for _ in range(200)]
    assert set(statuses) == {403, 429}
    assert statuses[-1] == 429
    assert [record.name for record in caplog.records] == ["service.security.failure_limit"]
    assert post(client, clock).status_code == 200


def test_it_needs_neither_the_database_nor_a_node_that_takes_calls(
    app: Flask, client: FlaskClient, clock: FakeClock
) -> None:
    services_of(app).serving.begin_drain()
    with said() as statements:
        assert post(client, clock).status_code == 200
    assert not statements


def test_answers_are_not_logged_at_the_usual_level(
    client: FlaskClient, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    post(client, clock)
    assert not caplog.records
    post(client, clock, node_id="nd_other")
    assert caplog.records


def test_only_post_is_answered(client: FlaskClient) -> None:
    assert client.get(path_of("nd_one")).status_code in (403, 405)
