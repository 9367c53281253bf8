"""The signing key of ``flask call``, from a file or from this server's database."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from service.domain.connectors import Connector
from service.errors import Invalid
from service.settings import Settings
from service.simulator.providers import registry, signing
from service.storage.connectors import Connectors
from service.storage.database import Database


def key_and_account(
    settings: Settings, webhook_url: str, key_file: Path | None
) -> tuple[str | None, str | None]:
    """Find the signing key and the account of the call. Raises ``Invalid``."""
    stored = _stored(settings, webhook_url)
    credentials = {} if stored is None else stored.credentials
    key, account = signing.key_and_account(registry.of(webhook_url).name, credentials)
    return (key if key_file is None else _read(key_file)), account


def _stored(settings: Settings, webhook_url: str) -> Connector | None:
    """Return the connector of this webhook, or ``None`` if it is not one of this server's."""
    *_, provider, key = urlsplit(webhook_url).path.split("/")
    database = Database(settings.database_url)
    try:
        if not database.exists():
            return None
        return Connectors(database, *settings.api_secrets).by_key(provider, key)
    except Exception:  # noqa: BLE001 - without the key, the call is placed unsigned
        return None
    finally:
        database.close()


def _read(path: Path) -> str:
    try:
        return path.read_text("ascii").strip()
    except (OSError, ValueError):
        raise Invalid(f"{path} cannot be read as a signing key.") from None
