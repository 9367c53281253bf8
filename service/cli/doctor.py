"""``flask doctor``: the URL each connector's signatures are checked against, and what is set wrong.

What is found wrong is one sentence each, which says what to do, and makes the exit code 1.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import click
from flask import current_app
from flask.cli import with_appcontext

from service.cli.findings import about_settings, about_the_clock, about_the_port, about_the_secret
from service.domain.connectors import Connector, webhook_url
from service.providers import load
from service.providers.base.provider import Provider
from service.providers.base.signatures import Use
from service.settings import Settings
from service.storage.connectors import Connectors
from service.storage.database import Database
from service.web.services import services

ANY_ORIGIN = "http(s)://<Host header>"
"""What stands for the public URL where each request says it anew."""

NO_DATABASE = (
    "There is no database yet: start the server once, or correct DATABASE_URL or DATA_DIR."
)
REPAIR = (
    "start it, correct DATABASE_URL, or bring it to the current schema with "
    "`flask --app wsgi migrate`."
)


@click.command()
@click.option("--show-keys", is_flag=True, help="Print the webhook keys, which are secrets.")
@click.option("--dyno", envvar="DYNO", hidden=True)
@with_appcontext
def doctor(show_keys: bool, dyno: str | None) -> None:
    """Print what signatures are checked against, and what is set wrong."""
    settings: Settings = current_app.config["SETTINGS"]
    database = Database(settings.database_url)
    problems = [*about_settings(settings, dyno), *about_the_port(settings, dyno)]
    connectors: Sequence[Connector] = ()
    try:
        if database.exists():
            connectors = Connectors(database, *settings.api_secrets).all()
            problems += about_the_secret(database, settings)
            problems += about_the_clock(database, services().clock)
        else:
            problems.append(NO_DATABASE)
    except Exception as error:  # noqa: BLE001 - whatever the driver raises, it cannot be read
        # The driver's text may hold the address: only the class is told.
        name = type(error.__cause__ or error).__name__
        problems.append(f"The database cannot be read ({name}): {REPAIR}")
    finally:
        database.close()
    for connector in connectors:
        for line in _described(connector, settings.public_url or ANY_ORIGIN, show_keys):
            click.echo(line)
    problems += (_lock(connector) for connector in connectors if connector.locked)
    for problem in problems:
        click.echo(f"Problem: {problem}")
    if problems:
        raise click.exceptions.Exit(1)
    click.echo("Nothing is wrong.")


def _lock(connector: Connector) -> str:
    return (
        f"The credentials of {connector.id} cannot be read with this API_SECRET, so that all its "
        f"webhooks are refused: set them again with PATCH /v2/connectors/{connector.id}."
    )


def _described(connector: Connector, base: str, show_keys: bool) -> Iterator[str]:
    provider = load()[connector.provider]
    name = f", {connector.name}" if connector.name else ""
    key = connector.webhook_key if show_keys else "whk_***"
    yield f"{connector.id} ({connector.provider}{name})"
    yield _line("webhook", webhook_url(base, connector.provider, key))
    if provider.signs_upgrades:
        socket = f"ws{base.removeprefix('http')}" if base != ANY_ORIGIN else "ws(s)://<Host header>"
        yield _line("media socket", f"{socket}/{connector.provider}/<reference>")
    for credential in provider.credentials:
        values = connector.credentials.get(credential.name, ())
        shown = "set" if credential.secret else ", ".join(values)
        if credential.secret and len(values) > 1:
            shown = f"set, {len(values)} values"
        absent = "cannot be read" if connector.locked else "not set"
        yield _line(credential.name, shown if values else absent)
    yield _line("signatures", _signatures(connector, provider))


def _signatures(connector: Connector, provider: Provider) -> str:
    if connector.locked:
        return "cannot be checked, so everything is refused"
    if provider.checks(connector.credentials):
        return "checked against these URLs" if provider.signs_upgrades else "checked, by POST only"
    needed = " and ".join(each.name for each in provider.credentials if Use.SIGNATURES in each.uses)
    return f"not checked: that needs {needed}"


def _line(name: str, text: str) -> str:
    return f"  {name:<14}{text}"
