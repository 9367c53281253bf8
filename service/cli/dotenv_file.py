"""The file ``.env``, read as UTF-8 with or without a byte order mark.

Anything else raises ``SettingsError``, which ends the start with one sentence. It quotes nothing of
the file, which holds secrets.
"""

from __future__ import annotations

import codecs
from collections.abc import MutableMapping
from io import StringIO
from pathlib import Path

from dotenv import dotenv_values

from service.errors import SettingsError

# UTF-32 first: its mark begins with that of UTF-16.
MARKS = {
    codecs.BOM_UTF32_LE: "UTF-32",
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}


def load(path: Path, environ: MutableMapping[str, str]) -> None:
    """Put what the file sets into ``environ``, whose own values win."""
    for name, value in values(path).items():
        if value is not None:
            environ.setdefault(name, value)


def values(path: Path) -> dict[str, str | None]:
    """What the file sets; nothing where there is none. Raises ``SettingsError``."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error.strerror}.") from None
    return dict(dotenv_values(stream=StringIO(_text(path, data))))


def _text(path: Path, data: bytes) -> str:
    for mark, name in MARKS.items():
        if data.startswith(mark):
            raise SettingsError(f"{path} is written in {name}: save it as UTF-8.")
    place = data.find(b"\0")
    if place >= 0:
        line = data.count(b"\n", 0, place) + 1
        raise SettingsError(
            f"{path} has a NUL byte on line {line}, which text in UTF-8 has not: save it as UTF-8."
        )
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise SettingsError(
            f"{path} has a byte on line {line} that is no UTF-8: save it as UTF-8."
        ) from None
