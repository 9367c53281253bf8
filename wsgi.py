"""The WSGI application that gunicorn and the ``flask`` commands load."""

import os
from pathlib import Path

from service.app import create_app
from service.cli import dotenv_file
from service.process.machine import Machine
from service.settings import Settings

# Also where something else has read it already, which may not know of byte order marks.
dotenv_file.load_as_worker(Path(__file__).with_name(".env"), os.environ)
app = create_app(Settings.from_env(os.environ), machine=Machine.of(os.environ))
