"""``flask migrate``, and the migration that a server runs on start."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import Result

from service.app import create_app
from service.cli.migrate import prepare, upgrade
from service.settings import Settings
from service.storage.database import Database

PAIR = {"API_KEY": "key", "API_SECRET": "secret" * 8}


def test_migrate_creates_the_schema_of_an_empty_database(empty_url: str) -> None:
    settings = Settings.from_env(PAIR | {"DATABASE_URL": empty_url})
    result = create_app(settings).test_cli_runner().invoke(args=["migrate"])
    assert result.exit_code == 0
    assert result.output == "The database is at the current schema.\n"
    database = Database(empty_url)
    database.check()
    database.close()


def test_migrate_may_be_repeated(empty_url: str) -> None:
    upgrade(empty_url)
    upgrade(empty_url)


def test_wrong_secret_is_reported_until_forget_secrets_runs(empty_url: str) -> None:
    def run(*args: str, secret: str, answer: str = "") -> Result:
        env = {"API_KEY": "key", "DATABASE_URL": empty_url, "API_SECRET": secret}
        runner = create_app(Settings.from_env(env)).test_cli_runner()
        return runner.invoke(args=args, input=answer)

    old, new = "old" * 12, "new" * 12
    assert run("migrate", secret=old).exit_code == 0
    refused = run("migrate", secret=new)
    assert refused.exit_code == 1
    assert refused.output.startswith("API_SECRET is not the one that the secrets")
    assert run("forget-secrets", secret=new, answer="n\n").exit_code == 1
    assert run("migrate", secret=new).exit_code == 1
    assert run("forget-secrets", secret=new, answer="y\n").exit_code == 0
    assert run("migrate", secret=new).exit_code == 0


def test_upgrade_reports_an_impossible_path_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SystemExit) as ended:
        upgrade(f"sqlite:///{tmp_path}/file/patchbay.db")
    sentence = str(ended.value)
    assert sentence.startswith("The database cannot be migrated: ")
    assert "\n" not in sentence


def test_upgrade_reports_a_file_that_is_not_a_database(tmp_path: Path) -> None:
    (tmp_path / "patchbay.db").write_text("Dear diary, " * 100)
    with pytest.raises(SystemExit, match=r"file is not a database$"):
        upgrade(f"sqlite:///{tmp_path}/patchbay.db")


def test_upgrade_does_not_show_the_password(tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as ended:
        upgrade("postgresql+psycopg://user:pa55word@127.0.0.1:1/name")
    assert "127.0.0.1" in str(ended.value)
    assert "pa55word" not in str(ended.value)


def test_locked_database_does_not_prevent_the_start(tmp_path: Path) -> None:
    settings = Settings.from_env(PAIR | {"DATABASE_URL": f"sqlite:///{tmp_path}/patchbay.db"})
    assert prepare(settings, waits=False)
    with closing(sqlite3.connect(tmp_path / "patchbay.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert not prepare(settings, waits=False)


def test_server_that_waits_for_postgres_starts_without_it() -> None:
    url = "postgresql+psycopg://someone@127.0.0.1:1/nothing"
    settings = Settings.from_env(PAIR | {"DATABASE_URL": url})
    assert not prepare(settings, waits=True)
    with pytest.raises(SystemExit):
        prepare(settings, waits=False)


def test_wrong_secret_or_file_always_prevents_the_start(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/patchbay.db"
    assert prepare(Settings.from_env(PAIR | {"DATABASE_URL": url}), waits=True)
    other = PAIR | {"API_SECRET": "another" * 8, "DATABASE_URL": url}
    with pytest.raises(SystemExit, match="API_SECRET is not the one"):
        prepare(Settings.from_env(other), waits=True)
    (tmp_path / "diary.db").write_text("Dear diary, " * 100)
    diary = Settings.from_env(PAIR | {"DATABASE_URL": f"sqlite:///{tmp_path}/diary.db"})
    with pytest.raises(SystemExit, match="file is not a database"):
        prepare(diary, waits=True)
