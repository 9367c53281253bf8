"""``python -m service.cli.keys FILE``: write a development key pair unless the file has one."""

from __future__ import annotations

import os
import secrets
import uuid
from pathlib import Path

import click

from service.cli import dotenv_file

NAMES = ("API_KEY", "API_SECRET")


def write(path: Path) -> bool:
    """Append ``API_KEY`` and ``API_SECRET`` to ``path``, and return whether it did.

    Only the owner can read a new file. A file that sets either name is not changed, because its
    author must complete the pair.
    """
    if any(name in dotenv_file.values(path) for name in NAMES):
        return False
    before = path.read_bytes() if path.exists() else b""
    lines = f"API_KEY={uuid.uuid4()}\nAPI_SECRET={secrets.token_hex(32)}\n"
    if before and not before.endswith(b"\n"):
        lines = "\n" + lines
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "w") as file:
        file.write(lines)
    return True


@click.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
def main(file: Path) -> None:
    """Write a development key pair to FILE unless it has one."""
    if write(file):
        click.echo(f"Wrote a development key pair into {file}.")


if __name__ == "__main__":
    main()
