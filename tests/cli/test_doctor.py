"""``flask doctor``: the description of each connector, each problem, and the exit code."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from click.testing import Result

from service.app import create_app
from service.cli.doctor import clock_problems, describe, settings_problems
from service.clock import SystemClock
from service.settings import Settings
from service.storage.connectors import Connectors
from service.storage.database import Database
from service.storage.stored_secrets import StoredSecrets
from tests.support.apps import a_settings
from tests.support.clocks import FakeClock
from tests.support.ports import free_port
from tests.support.records import a_connector

SECRET = "secret" * 8
GOOD = {
    "API_KEY": "key",
    "API_SECRET": SECRET,
    "PUBLIC_URL": "https://voice.example.com",
    "TRUST_PROXY": "1",
}
ACCOUNT = "AC" + "1" * 32
PUBLIC = "A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg="


@pytest.fixture
def examine(sqlite_url: str) -> Callable[..., Result]:
    """Return a function that runs the command with good settings and a test's changes."""

    def run(*options: str, dyno: str | None = None, **changes: str) -> Result:
        env = {**GOOD, "DATABASE_URL": sqlite_url, "PORT": str(free_port()), **changes}
        runner = create_app(Settings.from_env(env)).test_cli_runner()
        return runner.invoke(args=["doctor", *options], env={"DYNO": dyno})

    return run


@pytest.fixture
def store(own_sqlite: Database) -> Connectors:
    return Connectors(own_sqlite, SECRET)


def problems(result: Result) -> list[str]:
    mark = "Problem: "
    lines = result.output.splitlines()
    return [line.removeprefix(mark) for line in lines if line.startswith(mark)]


def test_no_problem_exits_with_0(examine: Callable[..., Result]) -> None:
    result = examine()
    assert (result.exit_code, result.output) == (0, "Nothing is wrong.\n")


def test_every_connector_is_described(examine: Callable[..., Result], store: Connectors) -> None:
    rotating = {"accountSid": (ACCOUNT,), "authToken": ("one", "two")}
    twilio = a_connector(id="cn_1", credentials=rotating, name="Front desk")
    plivo = a_connector(id="cn_2", provider="plivo", name=None)
    telnyx = a_connector(id="cn_3", provider="telnyx", credentials={"publicKey": (PUBLIC,)})
    for connector in (telnyx, plivo, twilio):
        store.add(connector)
    result = examine()
    assert result.exit_code == 0
    assert (
        result.output
        == f"""\
cn_1 (twilio, Front desk)
  webhook       https://voice.example.com/v2/hooks/twilio/whk_***
  media socket  wss://voice.example.com/twilio/<reference>
  accountSid    {ACCOUNT}
  authToken     set, 2 values
  signatures    checked against these URLs
cn_2 (plivo)
  webhook       https://voice.example.com/v2/hooks/plivo/whk_***
  media socket  wss://voice.example.com/plivo/<reference>
  authId        not set
  authToken     not set
  signatures    not checked: that needs authToken
cn_3 (telnyx, Front desk)
  webhook       https://voice.example.com/v2/hooks/telnyx/whk_***
  publicKey     {PUBLIC}
  apiKey        not set
  accountSid    not set
  applicationId not set
  signatures    checked, by POST only
Nothing is wrong.
"""
    )
    shown = examine("--show-keys").output
    assert (
        f"  webhook       https://voice.example.com/v2/hooks/twilio/{twilio.webhook_key}\n" in shown
    )


def test_missing_public_url_leaves_the_origin_open(
    examine: Callable[..., Result], store: Connectors
) -> None:
    store.add(a_connector())
    result = examine(PUBLIC_URL="")
    assert "  webhook       http(s)://<Host header>/v2/hooks/twilio/whk_***\n" in result.output
    assert "  media socket  ws(s)://<Host header>/twilio/<reference>\n" in result.output


def test_media_sockets_are_at_the_address_of_the_machine() -> None:
    settings = a_settings(public_url=GOOD["PUBLIC_URL"], node_url="https://voice1.example.com")
    lines = list(describe(a_connector(), settings, show_keys=False))
    assert lines[1] == "  webhook       https://voice.example.com/v2/hooks/twilio/whk_***"
    assert lines[2] == (
        "  media socket  wss://voice1.example.com/twilio/<reference>, and at other machines behind "
        "their NODE_URL"
    )


def test_address_of_the_machine_must_be_public() -> None:
    settings = a_settings(
        public_url=GOOD["PUBLIC_URL"],
        api_secret=SECRET,
        trust_proxy=1,
        node_url="https://10.0.0.7",
    )
    [problem] = settings_problems(settings, dyno=None)
    assert problem.startswith("NODE_URL names 10.0.0.7, where providers cannot open media sockets:")


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"PUBLIC_URL": ""}, "PUBLIC_URL is not set,"),
        ({"PUBLIC_URL": "http://voice.example.com"}, "PUBLIC_URL begins with http://,"),
        (
            {"PUBLIC_URL": "http://localhost", "TRUST_PROXY": "0"},
            "PUBLIC_URL names localhost, where no provider can reach",
        ),
        (
            {"PUBLIC_URL": "https://[::1]", "TRUST_PROXY": "0"},
            "PUBLIC_URL names ::1, where no provider can reach",
        ),
        (
            {"PUBLIC_URL": "https://10.0.0.7", "TRUST_PROXY": "0"},
            "PUBLIC_URL names 10.0.0.7, where no provider can reach",
        ),
        ({"TRUST_PROXY": "0"}, "TRUST_PROXY is 0 although something in front"),
        ({"API_SECRET": "short"}, "API_SECRET has fewer than 32 characters,"),
    ],
)
def test_each_wrong_setting_is_one_sentence(
    examine: Callable[..., Result], changes: dict[str, str], sentence: str
) -> None:
    result = examine(**changes)
    [problem] = problems(result)
    assert problem.startswith(sentence)
    assert problem.endswith(".")
    assert result.exit_code == 1
    assert "Nothing is wrong" not in result.output


def test_local_url_with_another_port_or_a_proxy_is_two_problems(
    examine: Callable[..., Result],
) -> None:
    _, port = problems(examine(PUBLIC_URL="http://127.0.0.1:9", PORT="8765", TRUST_PROXY="0"))
    assert port.startswith("PUBLIC_URL says port 9 and PORT is 8765:")
    _, proxy = problems(examine(PUBLIC_URL="http://127.0.0.1:9", TRUST_PROXY="2"))
    assert proxy.startswith("TRUST_PROXY is 2 although PUBLIC_URL names this machine:")


def test_sqlite_on_a_dyno_is_a_problem(examine: Callable[..., Result]) -> None:
    [problem] = problems(examine(dyno="web.1"))
    assert problem.startswith("The database is a file on a dyno, whose disk is wiped daily:")
    found = problems(examine(dyno="run.1234", TRUST_PROXY="0", PUBLIC_URL="http://a.example.com"))
    assert any(each.startswith("TRUST_PROXY is 0") for each in found)


def test_unreadable_credentials_are_a_problem(
    examine: Callable[..., Result], own_sqlite: Database
) -> None:
    locked = a_connector(credentials={"authToken": ("t",)})
    Connectors(own_sqlite, "another").add(locked)
    result = examine()
    [problem] = problems(result)
    assert problem.startswith(f"The credentials of {locked.id} cannot be read with this API_SECRET")
    assert "  authToken     cannot be read\n" in result.output
    assert "  signatures    cannot be checked, so everything is refused\n" in result.output
    assert result.exit_code == 1


def test_wrong_secret_is_a_problem(
    examine: Callable[..., Result], own_sqlite: Database, clock: FakeClock
) -> None:
    StoredSecrets(own_sqlite, clock, SECRET).of_rooms()
    assert problems(examine()) == []
    other = "x" * 40
    [problem] = problems(examine(API_SECRET=other))
    assert problem.startswith("API_SECRET is not the one that the secrets in the database were")
    assert problems(examine(API_SECRET=other, API_SECRET_PREVIOUS=SECRET)) == []


def test_missing_database_is_a_problem_and_not_created(
    examine: Callable[..., Result], tmp_path: Path
) -> None:
    [problem] = problems(examine(DATABASE_URL=f"sqlite:///{tmp_path}/none.db"))
    assert problem.startswith("There is no database yet:")
    assert not (tmp_path / "none.db").exists()


def test_database_without_tables_is_a_problem(
    examine: Callable[..., Result], tmp_path: Path
) -> None:
    (tmp_path / "empty.db").touch()
    [problem] = problems(examine(DATABASE_URL=f"sqlite:///{tmp_path}/empty.db"))
    assert problem.startswith("The database cannot be read (OperationalError): start it,")


def test_unreachable_database_is_a_problem_without_its_password(
    examine: Callable[..., Result],
) -> None:
    url = f"postgres://user:password@127.0.0.1:{free_port()}/patchbay"
    result = examine(DATABASE_URL=url)
    [problem] = problems(result)
    assert problem.startswith("The database cannot be read (OperationalError): start it,")
    assert "password" not in result.output


@pytest.fixture
def other_server() -> Iterator[int]:
    """The port of a server that is not Patchbay."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_error(404)

        def log_message(self, *arguments: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def test_port_of_another_server_is_a_problem(
    examine: Callable[..., Result], other_server: int
) -> None:
    [problem] = problems(examine(PORT=str(other_server)))
    assert problem.startswith(f"Something other than Patchbay answers at port {other_server}:")


def test_clock_that_differs_from_the_databases_is_a_problem(migrated_postgres: Database) -> None:
    assert list(clock_problems(migrated_postgres, SystemClock())) == []
    [problem] = clock_problems(migrated_postgres, FakeClock())
    assert problem.startswith("This machine's clock is ")
    assert "the database's, and Telnyx's signatures are refused from 300 s on" in problem


def test_sqlite_has_no_clock_to_compare(own_sqlite: Database) -> None:
    assert list(clock_problems(own_sqlite, FakeClock())) == []
