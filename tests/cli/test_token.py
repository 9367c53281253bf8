"""``flask token``."""

from __future__ import annotations

import time
from pathlib import Path

import jwt
import pytest
from flask.testing import FlaskCliRunner

from service.app import create_app
from service.settings import Settings
from service.web.services import services_of

PAIR = {"API_KEY": "key", "API_SECRET": "secret" * 8}


@pytest.fixture
def runner(tmp_path: Path) -> FlaskCliRunner:
    return create_app(Settings.from_env(PAIR | {"DATA_DIR": str(tmp_path)})).test_cli_runner()


def claims(output: str) -> dict[str, object]:
    read: dict[str, object] = jwt.decode(output.strip(), PAIR["API_SECRET"], algorithms=["HS256"])
    return read


def test_token_prints_a_token_for_the_api_and_nothing_else(runner: FlaskCliRunner) -> None:
    result = runner.invoke(args=["token"])
    assert result.exit_code == 0
    read = claims(result.output)
    assert (read["apikey"], read["roles"]) == ("key", ["crawler"])
    assert read["exp"] - read["iat"] == 86_400
    assert abs(read["iat"] - time.time()) < 60


def test_token_takes_hours_and_roles(runner: FlaskCliRunner) -> None:
    result = runner.invoke(args=["token", "--hours", "2", "--role", "rtc", "--role", "crawler"])
    read = claims(result.output)
    assert read["exp"] - read["iat"] == 7_200
    assert read["roles"] == ["rtc", "crawler"]


@pytest.mark.parametrize(
    "arguments", [["--hours", "0"], ["--hours", "x"], ["--hours", "99999999"], ["--role", "admin"]]
)
def test_token_rejects_invalid_options(runner: FlaskCliRunner, arguments: list[str]) -> None:
    result = runner.invoke(args=["token", *arguments])
    assert result.exit_code == 2
    assert arguments[0] in result.output


def test_a_command_that_starts_nothing_leaves_the_database_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    app = create_app(Settings.from_env(PAIR | {"DATA_DIR": str(tmp_path / "data")}))
    app.test_cli_runner().invoke(args=["token"])
    with caplog.at_level("WARNING"):
        services_of(app).close()
    assert caplog.records == []
    assert not (tmp_path / "data").exists()
