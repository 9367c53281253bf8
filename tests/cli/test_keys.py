"""The development key pair that ``make run`` writes on its first run."""

from __future__ import annotations

import stat
import subprocess
import sys
from pathlib import Path

import pytest
from dotenv import dotenv_values

from service.cli.keys import write
from service.settings import Settings


def test_written_file_is_valid_and_readable_only_by_its_owner(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    assert write(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    values = dotenv_values(path)
    assert list(values) == ["API_KEY", "API_SECRET"]
    settings = Settings.from_env({name: value or "" for name, value in values.items()})
    # HS256 needs a key of at least 32 bytes: https://www.rfc-editor.org/rfc/rfc7518#section-3.2
    assert len(settings.api_secret) >= 32


def test_every_pair_is_different(tmp_path: Path) -> None:
    write(tmp_path / "one")
    write(tmp_path / "two")
    one, two = dotenv_values(tmp_path / "one"), dotenv_values(tmp_path / "two")
    assert not set(one.values()) & set(two.values())


def test_existing_pair_is_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    write(path)
    before = path.read_bytes()
    assert not write(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("half", ["API_KEY=mine\n", "export API_SECRET='mine'\n", "API_KEY=\n"])
def test_incomplete_pair_is_not_changed(half: str, tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_text(half)
    assert not write(path)
    assert path.read_text() == half


@pytest.mark.parametrize("before", ["PORT=9000", "PORT=9000\n", "# API_KEY=\nPORT=9000\n"])
def test_pair_is_appended_to_an_existing_file(before: str, tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_text(before)
    assert write(path)
    assert path.read_text().startswith(before.rstrip("\n") + "\nAPI_KEY=")
    assert dotenv_values(path)["PORT"] == "9000"


def test_module_runs_without_settings(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    command = [sys.executable, "-m", "service.cli.keys", str(path)]
    ended = subprocess.run(command, capture_output=True, text=True, check=True)
    assert ended.stdout == f"Wrote a development key pair into {path}.\n"
    assert ended.stderr == ""
    assert all(value not in ended.stdout for value in dotenv_values(path).values() if value)
    again = subprocess.run(command, capture_output=True, text=True, check=True)
    assert again.stdout == ""
