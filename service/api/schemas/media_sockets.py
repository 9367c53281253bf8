"""What a WebSocket handshake is asked for."""

from __future__ import annotations

from service.web.schemas.fields import Request, Text


class Reference(Request):
    ref = Text(required=True)
