"""URL converters: ids and names in paths."""

from __future__ import annotations

from werkzeug.routing import BaseConverter


class Identifier(BaseConverter):
    """An id in a path. What no id of ours can hold (a NUL, for one) is an unknown address."""

    regex = r"[A-Za-z0-9_-]{1,128}"


class Name(BaseConverter):
    """A name that a client chose, in a path: of a room or a participant."""

    regex = r"[^\s\x00-\x1f\x7f-\x9f]{1,128}"
    part_isolating = False


class RoomName(Name):
    """A name of a room at whose end nothing follows: what is below a room's address is no name."""

    regex = rf"(?!.*/webhook/deliveries(?:/|$)){Name.regex}"
