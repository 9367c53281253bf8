"""The instructions that ``make run`` prints: a sign-in link, and three commands to a call."""

from __future__ import annotations

from service.clock import Millis
from service.security import access_tokens
from service.settings import Settings

ROOM = "demo-room-0001"
DEFAULT_PORT = 8000


def first_steps(settings: Settings, link: str, now: Millis) -> str:
    """Format the sign-in link and three commands. They hold a token, so never log them."""
    token = access_tokens.mint(settings.api_key, settings.api_secret, now)
    # The other terminal does not have this one's PORT.
    port = "" if settings.port == DEFAULT_PORT else f"PORT={settings.port} "
    return f"""
Patchbay is ready. Open the console; this link works once, within 15 minutes:

{link}

Or paste these into another terminal, in this folder:

export TOKEN={token}
curl {settings.local_url}/v2/connectors -H "Authorization: $TOKEN" \
-H "Content-Type: application/json" -d '{{"provider": "twilio", "defaultRoomId": "{ROOM}"}}'
{port}.venv/bin/flask --app wsgi call
"""
