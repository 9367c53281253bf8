"""The console's files and their security headers."""

from __future__ import annotations

import re

import pytest
from flask.testing import FlaskClient

from service.console.pages import STATIC, TYPES
from service.domain.calls import EndReason, LadderEvent
from service.storage.database import Database
from tests.support.apps import build
from tests.support.clocks import FakeClock

FILES = sorted(path for path in STATIC.rglob("*") if path.is_file())
SCRIPTS = [path for path in FILES if path.suffix == ".js"]


@pytest.fixture
def client(sqlite_database: Database, clock: FakeClock) -> FlaskClient:
    return build(sqlite_database, clock).test_client()


def test_root_redirects_to_the_console(client: FlaskClient) -> None:
    answer = client.get("/")
    assert (answer.status_code, answer.headers["Location"]) == (302, "/console/")


@pytest.mark.parametrize("path", ["/console/", "/console/calls/abc", "/console/sign-in"])
def test_every_page_is_the_same_document(client: FlaskClient, path: str) -> None:
    answer = client.get(path)
    assert answer.mimetype == "text/html"
    assert b'<script type="module"' in answer.data


def test_every_file_has_its_type_and_security_headers(client: FlaskClient) -> None:
    for path in FILES:
        answer = client.get(f"/console/static/{path.relative_to(STATIC)}")
        assert answer.mimetype == TYPES[path.suffix], path
        assert answer.headers["Cache-Control"] == "no-cache", path
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'none'; script-src 'self';" in policy, path
        assert "unsafe" not in policy, path


def test_every_script_is_short_and_documented() -> None:
    texts = {path.name: path.read_text() for path in SCRIPTS}
    assert [name for name, text in texts.items() if len(text.splitlines()) > 300] == []
    assert [name for name, text in texts.items() if not text.startswith("/** ")] == []


def test_no_script_writes_markup() -> None:
    markup = re.compile(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write")
    assert [path.name for path in SCRIPTS if markup.search(path.read_text())] == []


def test_console_has_a_text_for_every_step_and_end_reason() -> None:
    script = (STATIC / "ladder.js").read_text()
    unknown = [
        word
        for word in [*LadderEvent, *EndReason]
        if not re.search(rf'^  "?{word}"?: "', script, re.MULTILINE)
    ]
    assert unknown == []


def test_unknown_api_address_is_not_a_page(client: FlaskClient) -> None:
    answer = client.get("/console/api/nothing")
    assert (answer.status_code, answer.mimetype) == (404, "application/json")


def test_unchanged_file_is_not_sent_again(client: FlaskClient) -> None:
    tag = client.get("/console/static/app.js").headers["ETag"]
    again = client.get("/console/static/app.js", headers={"If-None-Match": tag})
    assert again.status_code == 304


@pytest.mark.parametrize("name", ["../pages.py", "..%2fpages.py", "nothing.js"])
def test_files_outside_the_static_folder_are_not_served(client: FlaskClient, name: str) -> None:
    answer = client.get(f"/console/static/{name}")
    assert answer.status_code == 404 or answer.mimetype == "text/html"
