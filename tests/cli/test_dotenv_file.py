"""The file ``.env`` in the encodings that editors write."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from service.cli import dotenv_file
from service.cli.keys import write
from service.errors import SettingsError
from tests.support.paths import ROOT

TEXT = "# Grüße\nAPI_KEY=one\nexport API_SECRET='two'\nNAME=Jürgen\n"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / ".env"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_file_is_utf8_with_or_without_a_byte_order_mark(
    path: Path, encoding: str, newline: str
) -> None:
    text = TEXT.partition("\n")[2]
    path.write_bytes(text.replace("\n", newline).encode(encoding))
    assert dotenv_file.values(path) == {"API_KEY": "one", "API_SECRET": "two", "NAME": "Jürgen"}
    assert not write(path)


def test_environment_takes_precedence(path: Path) -> None:
    path.write_text("A=file\nB=file\nC\n")
    environ = {"A": "mine"}
    dotenv_file.load(path, environ)
    assert environ == {"A": "mine", "B": "file"}


def test_a_server_reads_the_file_once(path: Path) -> None:
    path.write_text("A=1\n")
    environ: dict[str, str] = {}
    dotenv_file.load_once(path, environ)
    path.write_text("A=2\nB=2\n")
    dotenv_file.load_once(path, environ)
    assert environ == {"A": "1", dotenv_file.READER: str(os.getpid())}


def test_a_worker_reads_only_what_its_master_has_not_read(path: Path) -> None:
    path.write_text("A=1\n")
    of_the_master = {dotenv_file.READER: str(os.getppid())}
    dotenv_file.load_as_worker(path, of_the_master)
    assert "A" not in of_the_master
    of_another_server = {dotenv_file.READER: "1"}
    dotenv_file.load_as_worker(path, of_another_server)
    assert of_another_server["A"] == "1"


def test_missing_file_sets_nothing(path: Path) -> None:
    assert dotenv_file.values(path) == {}


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (TEXT.encode("utf-16"), "is written in UTF-16: save it as UTF-8."),
        (b"\xfe\xff" + TEXT.encode("utf-16-be"), "is written in UTF-16: save it as UTF-8."),
        (TEXT.encode("utf-32"), "is written in UTF-32: save it as UTF-8."),
        (
            TEXT.encode("utf-16-le"),
            "has a NUL byte on line 1, which UTF-8 text does not contain: save it as UTF-8.",
        ),
        (
            b"A=1\nB=\x002\n",
            "has a NUL byte on line 2, which UTF-8 text does not contain: save it as UTF-8.",
        ),
        (
            "A=1\nNAME=Jürgen\n".encode("latin-1"),
            "has a byte on line 2 that is not UTF-8: save it as UTF-8.",
        ),
        (b"A=\xed\xa0\x80\n", "has a byte on line 1 that is not UTF-8: save it as UTF-8."),
    ],
    ids=["utf-16", "utf-16-be", "utf-32", "no-mark", "nul", "latin-1", "surrogate"],
)
def test_file_that_is_not_utf8_is_rejected_in_one_sentence(
    path: Path, data: bytes, sentence: str
) -> None:
    path.write_bytes(data)
    for read in (dotenv_file.values, write):
        with pytest.raises(SettingsError) as refused:
            read(path)
        assert str(refused.value) == f"{path} {sentence}"
    assert path.read_bytes() == data


def test_folder_is_rejected_in_one_sentence(path: Path) -> None:
    path.mkdir()
    with pytest.raises(SettingsError, match=r"\.env cannot be read: Is a directory\.$"):
        dotenv_file.values(path)


def test_keys_command_prints_only_the_error(path: Path) -> None:
    path.write_bytes(TEXT.encode("utf-16"))
    command = [sys.executable, "-m", "service.cli.keys", str(path)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr == f"{path} is written in UTF-16: save it as UTF-8.\n"


@pytest.mark.parametrize("program", ["gunicorn.conf.py", "wsgi.py"])
def test_programs_read_the_file_next_to_them(tmp_path: Path, program: str) -> None:
    (tmp_path / program).write_text((ROOT / program).read_text())
    (tmp_path / ".env").write_bytes(b"\xff\xfeA\x00")
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(tmp_path / program)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, env=env)
    assert ended.returncode == 1
    assert ended.stderr == f"{tmp_path}/.env is written in UTF-16: save it as UTF-8.\n"

    (tmp_path / ".env").write_bytes(b"\xef\xbb\xbfAPI_KEY=k\nMAX_CALLS=many\nAPI_SECRET=s\n")
    ended = subprocess.run(command, capture_output=True, text=True, check=False, env=env)
    assert ended.stderr.startswith("MAX_CALLS must be a whole number")
