"""What was stored by earlier versions is understood after a migration, on both kinds."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import text

from service.storage import migrations
from service.storage.calls import Calls
from service.storage.database import Database

CALL = """
INSERT INTO calls (id, provider, provider_call_id, caller, callee, status, participant_id,
    participant_name, participant_metadata, started_at, attempts)
VALUES ('c1', 'twilio', 'CA1', '+14155550100', '+14155550199', 'answered', 'p1', 'Ann', '{}', 1, 0)
"""


def test_a_call_from_before_there_were_rules_hides_nothing_and_tells_of_keys(
    empty_url: str,
) -> None:
    database = Database(empty_url)
    if empty_url.startswith("sqlite"):
        Path(empty_url.removeprefix("sqlite:///")).parent.mkdir(parents=True)
    config = Config()
    config.set_main_option("script_location", str(migrations.FOLDER).replace("%", "%%"))
    with database.write() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0003")
        connection.execute(text(CALL))
    database.migrate()
    call = Calls(database).get("c1")
    assert (call.pin_tries, call.hides_number, call.dtmf) == (0, False, True)
    database.close()
