"""The ``flask`` commands."""

from __future__ import annotations

from flask import Flask

from service.cli.call import call
from service.cli.console import console
from service.cli.doctor import doctor
from service.cli.forget_secrets import forget
from service.cli.migrate import migrate
from service.cli.rotate_webhook_key import rotate
from service.cli.token import token


def register(app: Flask) -> None:
    """Add the commands to ``flask --app wsgi``."""
    for command in (call, console, token, migrate, rotate, forget, doctor):
        app.cli.add_command(command)
