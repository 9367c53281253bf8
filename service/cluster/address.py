"""Addresses of the nodes of one machine: a Unix socket for each, in a private folder."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from service.errors import ServiceError

SUFFIX = ".sock"

MAX_PATH = 103
"""Bytes of a socket's path on macOS; Linux takes four more."""


def address(folder: Path, node_id: str) -> str:
    """Return the path of a node's socket. Raises ``ServiceError`` if no socket can have it."""
    path = os.fspath(folder / f"{node_id}{SUFFIX}")
    if len(os.fsencode(path)) > MAX_PATH:
        raise ServiceError(
            f"The folder of the workers' sockets has too long a path: {path} has more than "
            f"{MAX_PATH} bytes; set TMPDIR to a shorter one."
        )
    return path


def require_private(folder: Path) -> None:
    """Raise ``ServiceError`` unless the folder is open to this user alone."""
    found = folder.stat()
    if found.st_uid != os.geteuid() or stat.S_IMODE(found.st_mode) & 0o077:
        raise ServiceError(
            f"The folder of the workers' sockets must be open to its own user alone: {folder}"
        )


def nodes(folder: Path) -> Iterator[str]:
    """Yield the nodes that listen in this folder, or did when they were killed."""
    for name in sorted(os.listdir(folder)):
        if name.endswith(SUFFIX) and not name.startswith("."):
            yield name.removesuffix(SUFFIX)
