"""gunicorn with our configuration: refused and tolerated settings, and secrets in logs."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

from service.security import access_tokens
from tests.support.paths import ROOT
from tests.support.servers import FORKED, GUNICORN, PATIENCE, Server, refused, serving

KEY = "whk_q7Rk2mZx9LwB4nVc8TfJ1sHd6PgY3aEu"
REF = "Nf5tQ8wLz2XcR7vKb4MjH9pGs6DyA3eU"
INGEST_REF = "vs_k3x9m2p7q4w8z1r6t5b0"


@pytest.mark.parametrize(
    ("command", "changes", "sentence"),
    [
        (
            GUNICORN,
            {"API_KEY": ""},
            "API_KEY is not set; `make run` writes a development pair into .env.",
        ),
        (FORKED, {"PORT": "http"}, "PORT must be a whole number from 1 to 65535, not 'http'."),
        (
            FORKED,
            {"WEB_CONCURRENCY": "65"},
            "WEB_CONCURRENCY must be a whole number from 1 to 64, not '65'.",
        ),
    ],
)
def test_an_invalid_setting_ends_the_start_with_only_its_sentence(
    command: Sequence[str], changes: dict[str, str], sentence: str, tmp_path: Path
) -> None:
    assert refused(tmp_path, command=command, **changes) == (1, sentence + "\n")


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["-w", "2", "-k", "gthread"], "--workers"),
        (["-w", "65"], "WEB_CONCURRENCY"),
        (["-w", "0"], "WEB_CONCURRENCY"),
        (["-k", "gunicorn.workers.base.Worker"], "--worker-class"),
        (["--certfile", "tls.pem"], "--certfile"),
        (["--keyfile", "tls.pem"], "--keyfile"),
    ],
)
def test_settings_that_break_rooms_are_refused_in_one_sentence(
    arguments: list[str], word: str, tmp_path: Path
) -> None:
    code, output = refused(tmp_path, *arguments)
    assert code == 1
    starting, sentence = output.splitlines()
    assert "Starting gunicorn" in starting
    assert word in sentence
    assert sentence.endswith(".")


def test_gevent_does_not_start_whether_installed_or_not(tmp_path: Path) -> None:
    code, output = refused(tmp_path, "-k", "gevent")
    assert code == 1
    assert "Listening" not in output


def test_a_database_that_does_not_answer_is_refused_without_its_password(tmp_path: Path) -> None:
    code, output = refused(tmp_path, DATABASE_URL="postgres://user:pa55word@127.0.0.1:1/name")
    assert code == 1
    assert output.splitlines()[-1].startswith("The database cannot be migrated: ")
    assert "pa55word" not in output
    assert "Traceback" not in output


@pytest.mark.parametrize(("wanted", "workers"), [("", 1), ("64", os.cpu_count() or 1)])
def test_the_procfile_listens_on_all_addresses_with_a_worker_for_each_core_at_most(
    wanted: str,
    workers: int,
    tmp_path: Path,
) -> None:
    web = next(
        line.removeprefix("web: ")
        for line in (ROOT / "Procfile").read_text().splitlines()
        if line.startswith("web: ")
    )
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    command = ["sh", "-c", f"exec {web}"]
    with serving(tmp_path, command=command, PATH=path, WEB_CONCURRENCY=wanted) as server:
        assert "Listening at: http://0.0.0.0:" in server.output
        assert server.get("/healthz") == 200
        server.stop()
        assert server.output.count("Booting worker") == workers


def test_gunicorn_runs_sync_with_threads_as_gthread_and_warns(tmp_path: Path) -> None:
    with serving(tmp_path, "-k", "sync") as server:
        server.wait_for("Using worker: gthread")
        assert "--worker-class gthread needs a proxy" in server.output


@pytest.mark.parametrize("fmt", ["text", "json"])
def test_no_log_contains_a_secret(fmt: str, tmp_path: Path) -> None:
    token = access_tokens.mint("key", "secret" * 8, 1_782_052_245_123)
    arguments = [
        *("--access-logfile", "-", "--log-level", "debug"),
        *("--access-logformat", '%(r)s %(q)s "%(f)s" %({authorization}i)s %({raw_uri}e)s'),
    ]
    with serving(tmp_path, *arguments, LOG_LEVEL="debug", LOG_FORMAT=fmt) as server:
        for path in (
            f"/v2/hooks/twilio/{KEY}",
            f"/twilio/{REF}",
            f"/nobody/{REF}?ref={REF}",
            f"/videosdk?ref={INGEST_REF}",
        ):
            with suppress(HTTPError):
                server.get(path, {"Authorization": token, "Referer": f"http://x/plivo/{REF}"})
        server.stop()
    assert server.output.count("GET /videosdk?ref=*** HTTP/1.1") >= 1
    assert "GET /v2/hooks/twilio/whk_*** HTTP/1.1" in server.output
    for secret in (KEY, REF, INGEST_REF, token, "secret" * 8):
        assert secret not in server.output


def test_logs_with_the_operator_s_configuration_contain_no_secret(tmp_path: Path) -> None:
    (tmp_path / "log.json").write_text('{"version": 1}')
    with serving(tmp_path, "--log-config-json", str(tmp_path / "log.json")) as server:
        with suppress(HTTPError):
            server.get(f"/twilio/{REF}")
        server.stop()
    assert "GET /twilio/*** HTTP/1.1" in server.output
    assert REF not in server.output


def test_the_server_migrates_its_database_and_exits_with_zero(tmp_path: Path) -> None:
    with serving(tmp_path / "data", command=GUNICORN) as server:
        assert f"Listening at: {server.url} " in server.output
        assert server.get("/healthz") == 200
        assert server.get("/readyz") == 200
        assert server.stop() == 0
    assert (tmp_path / "data" / "patchbay.db").exists()
    # Neither an access log nor the first steps unless asked for.
    assert "HTTP/1.1" not in server.output
    assert "TOKEN" not in server.output


def test_no_signal_adds_a_worker_to_one_that_shares_nothing_or_a_second_server_or_ends_it(
    tmp_path: Path,
) -> None:
    for file in ("gunicorn.conf.py", "wsgi.py"):
        shutil.copy(ROOT / file, tmp_path)
    own = ("--chdir", str(tmp_path), "--config", str(tmp_path / "gunicorn.conf.py"))
    with serving(tmp_path, *own) as server:
        assert server.get("/healthz") == 200
        server.send(signal.SIGTTIN)
        server.wait_for("This server was started with one worker")
        server.send(signal.SIGUSR2)
        server.wait_for("Patchbay does not upgrade in place")
        (tmp_path / ".env").write_bytes("DAMAGED=1".encode("utf-16"))
        server.send(signal.SIGHUP)
        server.wait_for("Worker exiting")
        assert server.get("/healthz") == 200
        assert server.stop() == 0
        assert server.output.count("Booting worker") == 2
        assert server.output.count("Starting gunicorn") == 1


@pytest.fixture(scope="module")
def public(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Run a server with a public URL that prints an access log and the first steps."""
    arguments = ("--access-logfile", "-", "--env", "FIRST_STEPS=1")
    data = tmp_path_factory.mktemp("data")
    with serving(data, *arguments, PUBLIC_URL="https://voice.example.com") as server:
        yield server


def test_security_headers_are_sent(public: Server) -> None:
    with urlopen(f"{public.url}/healthz", timeout=PATIENCE) as answer:
        assert answer.headers["Strict-Transport-Security"] == "max-age=31536000"
        assert answer.headers["Cache-Control"] == "no-store"


def test_the_access_log_omits_the_numbers_of_a_webhook_by_get(public: Server) -> None:
    with suppress(HTTPError):
        public.get(f"/v2/hooks/telnyx/{KEY}?CallSid=v3:1&From=%2B14155550100&To=x")
    public.wait_for("GET /v2/hooks/telnyx/whk_*** HTTP/1.1")
    assert "14155550100" not in public.output


def test_the_first_steps_are_printed_with_a_token_if_requested(public: Server) -> None:
    public.wait_for("--app wsgi call")
    token = public.output.partition("export TOKEN=")[2].split()[0]
    assert public.get("/v2/connectors", {"Authorization": token}) == 200
