"""Decides where a call goes. Pure: values in, a value out."""

from __future__ import annotations

from service.model import Connector, Refusal, Route


def resolve(connector: Connector) -> Route | Refusal:
    """The connector's default room, or a rejection where it has none."""
    if connector.default_room_id is not None:
        return Route(room_id=connector.default_room_id)
    return Refusal.REJECTED
