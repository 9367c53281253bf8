"""The development key pair that ``make run`` writes on first use."""

from __future__ import annotations

import stat
import subprocess
import sys
from pathlib import Path

import pytest
from dotenv import dotenv_values

from service.cli.keys import write
from service.settings import Settings


def test_write_makes_a_file_that_settings_accept_and_only_the_owner_reads(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    assert write(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    values = dotenv_values(path)
    assert list(values) == ["API_KEY", "API_SECRET"]
    settings = Settings.from_env({name: value or "" for name, value in values.items()})
    # HS256 wants a key of 32 bytes at least: https://www.rfc-editor.org/rfc/rfc7518#section-3.2
    assert len(settings.api_secret) >= 32


def test_no_two_pairs_are_alike(tmp_path: Path) -> None:
    write(tmp_path / "one")
    write(tmp_path / "two")
    one, two = dotenv_values(tmp_path / "one"), dotenv_values(tmp_path / "two")
    assert not set(one.values()) & set(two.values())


def test_write_never_replaces_a_pair(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    write(path)
    before = path.read_bytes()
    assert not write(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("half", ["API_KEY=mine\n", "export API_SECRET='mine'\n", "API_KEY=\n"])
def test_write_leaves_half_a_pair_to_its_author(half: str, tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_text(half)
    assert not write(path)
    assert path.read_text() == half


@pytest.mark.parametrize("before", ["PORT=9000", "PORT=9000\n", "# API_KEY=\nPORT=9000\n"])
def test_write_adds_the_pair_to_what_is_there(before: str, tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_text(before)
    assert write(path)
    assert path.read_text().startswith(before.rstrip("\n") + "\nAPI_KEY=")
    assert dotenv_values(path)["PORT"] == "9000"


def test_it_runs_as_a_module_without_any_setting(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    command = [sys.executable, "-m", "service.cli.keys", str(path)]
    ended = subprocess.run(command, capture_output=True, text=True, check=True)
    assert ended.stdout == f"Wrote a development key pair into {path}.\n"
    assert ended.stderr == ""
    assert all(value not in ended.stdout for value in dotenv_values(path).values() if value)
    again = subprocess.run(command, capture_output=True, text=True, check=True)
    assert again.stdout == ""
