"""Query schema of the custom WebSocket's handshake."""

from __future__ import annotations

from service.web.schemas.fields import Request, Text


class Reference(Request):
    ref = Text(required=True)
