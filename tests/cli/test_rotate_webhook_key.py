"""``flask rotate-webhook-key`` beside a running server."""

from __future__ import annotations

from pathlib import Path

import pytest

from service.app import create_app
from service.security.webhook_signing import CHECK_SECONDS, Signer
from service.settings import Settings
from service.storage.database import Database
from service.storage.webhooks.signing_keys import SigningKeys
from tests.support.clocks import FakeClock
from tests.support.keyrings import a_pair

PAIR = {"API_KEY": "key", "API_SECRET": "secret" * 8}
COMMAND = ["rotate-webhook-key"]


def run(**env: str) -> tuple[int, str]:
    """Run the command, and return its exit code and output."""
    runner = create_app(Settings.from_env(PAIR | env)).test_cli_runner()
    result = runner.invoke(args=COMMAND)
    return result.exit_code, result.output


def test_server_signs_with_the_new_key_within_seconds(
    sqlite_url: str, own_sqlite: Database, clock: FakeClock
) -> None:
    keys = SigningKeys(own_sqlite, clock, PAIR["API_SECRET"], None)
    signer = Signer(keys, clock)
    before = signer.headers(b"{}")["x-patchbay-key"]
    code, output = run(DATABASE_URL=sqlite_url)
    clock.advance(CHECK_SECONDS)
    after = signer.headers(b"{}")["x-patchbay-key"]
    assert after != before
    assert code == 0
    assert output == (
        f"Webhooks are signed with {after} from now on. /v2/public/rsa-public-key has it, and for "
        "a day the key before it.\n"
    )
    assert [key.id for key in keys.published().keys] == [after, before]


def test_key_from_the_settings_is_not_rotated(sqlite_url: str) -> None:
    code, output = run(DATABASE_URL=sqlite_url, WEBHOOK_PRIVATE_KEY=a_pair().private_pem())
    assert (code, output) == (
        1,
        "WEBHOOK_PRIVATE_KEY is set: change it and start the server again to rotate the key.\n",
    )


def test_missing_database_is_not_created(tmp_path: Path) -> None:
    code, output = run(DATA_DIR=str(tmp_path))
    assert (code, output) == (
        1,
        "There is no database yet: start the server once, which also makes a key.\n",
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "url", ["postgresql+psycopg://user:pa55word@127.0.0.1:1/name", "sqlite:///{path}/empty.db"]
)
def test_unusable_database_is_one_sentence_without_its_address(tmp_path: Path, url: str) -> None:
    (tmp_path / "empty.db").touch()
    code, output = run(DATABASE_URL=url.format(path=tmp_path))
    assert code == 1
    assert output.startswith("The key was not rotated (OperationalError): start the database, ")
    assert output.count("\n") == 1
    assert "pa55word" not in output
