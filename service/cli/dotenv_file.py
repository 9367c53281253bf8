"""Reading of the file ``.env`` as UTF-8 with or without a byte order mark.

Any other encoding raises ``SettingsError``, which ends the start with one sentence. The sentence
quotes nothing of the file, because it holds secrets.

A server reads the file once: a worker that starts later has the settings of its siblings, and a
file that was damaged meanwhile ends nothing.
"""

from __future__ import annotations

import codecs
import os
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


READER = "PATCHBAY_ENV_FILE"
"""The environment variable with the id of the gunicorn master that has read the file."""


def load_once(path: Path, environ: MutableMapping[str, str]) -> None:
    """Load the file in a gunicorn master, unless this process has loaded it before a reload."""
    own = str(os.getpid())
    if environ.get(READER) != own:
        load(path, environ)
        environ[READER] = own


def load_as_worker(path: Path, environ: MutableMapping[str, str]) -> None:
    """Load the file, unless this is a worker whose gunicorn master has loaded it."""
    if environ.get(READER) != str(os.getppid()):
        load(path, environ)


def load(path: Path, environ: MutableMapping[str, str]) -> None:
    """Add the file's variables to ``environ``, whose existing values take precedence."""
    for name, value in values(path).items():
        if value is not None:
            environ.setdefault(name, value)


def values(path: Path) -> dict[str, str | None]:
    """Return the file's variables; none if there is no file. Raises ``SettingsError``."""
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
    position = data.find(b"\0")
    if position >= 0:
        line = data.count(b"\n", 0, position) + 1
        raise SettingsError(
            f"{path} has a NUL byte on line {line}, which UTF-8 text does not contain: "
            "save it as UTF-8."
        )
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise SettingsError(
            f"{path} has a byte on line {line} that is not UTF-8: save it as UTF-8."
        ) from None
