"""URL converters: ids and names in paths."""

from __future__ import annotations

from werkzeug.routing import BaseConverter


class IdConverter(BaseConverter):
    """An id in a path. Characters outside ids, such as NUL, make an unknown address."""

    regex = r"[A-Za-z0-9_-]{1,128}"


class NameConverter(BaseConverter):
    """A room or participant name in a path, as a client chose it."""

    regex = r"[^\s\x00-\x1f\x7f-\x9f]{1,128}"
    part_isolating = False


class RoomNameConverter(NameConverter):
    """A room name at the end of a path. Addresses below a room's are not room names."""

    regex = rf"(?!.*/webhook/deliveries(?:/|$)){NameConverter.regex}"
