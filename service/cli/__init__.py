"""The ``flask`` commands."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flask import Flask


def register(app: Flask) -> None:
    """Add the commands to ``flask --app wsgi``."""
    # Not above: ``python -m service.cli.keys`` imports this module, and needs none of them.
    from service.cli.call import call
    from service.cli.console import console
    from service.cli.doctor import doctor
    from service.cli.forget_secrets import forget
    from service.cli.migrate import migrate
    from service.cli.rotate_webhook_key import rotate
    from service.cli.token import token

    for command in (call, console, token, migrate, rotate, forget, doctor):
        app.cli.add_command(command)
