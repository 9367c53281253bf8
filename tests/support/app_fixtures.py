"""Apps, and clients with a token."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jwt
import pytest
from flask import Flask
from flask.testing import FlaskClient

from service.storage.database import Database
from service.web.services import services_of
from tests.support.apps import API_KEY, API_SECRET, ScriptedEngine, build
from tests.support.clocks import FakeClock


@pytest.fixture
def app(sqlite_database: Database, clock: FakeClock) -> Flask:
    return build(sqlite_database, clock)


@pytest.fixture
def app_without_public_url(sqlite_database: Database, clock: FakeClock) -> Flask:
    return build(sqlite_database, clock, public_url=None)


@pytest.fixture
def app_for_one_call(sqlite_database: Database, clock: FakeClock) -> Flask:
    """An app that takes one call at a time."""
    return build(sqlite_database, clock, max_calls=1)


@pytest.fixture
def app_on_each_database(database: Database, clock: FakeClock) -> Flask:
    return build(database, clock)


@pytest.fixture
def engine(app: Flask) -> ScriptedEngine:
    scripted: ScriptedEngine = services_of(app).engine
    return scripted


@pytest.fixture
def token() -> Callable[..., str]:
    """A function that makes a token with the given claims in addition to the usual ones."""

    def make(**claims: Any) -> str:
        return jwt.encode({"apikey": API_KEY, **claims}, API_SECRET, algorithm="HS256")

    return make


@pytest.fixture
def authorised(token: Callable[..., str]) -> Callable[..., FlaskClient]:
    """A function that makes a client of an app that sends a token with the given claims."""

    def make(app: Flask, **claims: Any) -> FlaskClient:
        client = app.test_client()
        client.environ_base["HTTP_AUTHORIZATION"] = token(**claims)
        return client

    return make


@pytest.fixture
def client(app: Flask, authorised: Callable[..., FlaskClient]) -> FlaskClient:
    return authorised(app)
