"""What ``make run`` prints once the server listens: three lines that end in a simulated call."""

from __future__ import annotations

from service import tokens
from service.settings import Settings
from service.times import Millis

ROOM = "demo-room-0001"
DEFAULT_PORT = 8000


def first_steps(settings: Settings, now: Millis) -> str:
    """A heading and three commands to paste. They hold a token: for a terminal, never for a log."""
    token = tokens.mint(settings.api_key, settings.api_secret, now)
    # The other terminal does not know a port that this one was given.
    port = "" if settings.port == DEFAULT_PORT else f"PORT={settings.port} "
    return f"""
Patchbay is ready. Paste these into another terminal, in this folder:

export TOKEN={token}
curl http://127.0.0.1:{settings.port}/v2/connectors -H "Authorization: $TOKEN" \
-H "Content-Type: application/json" -d '{{"provider": "twilio", "defaultRoomId": "{ROOM}"}}'
{port}.venv/bin/flask --app wsgi call
"""
