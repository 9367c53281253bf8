"""Installed programs that some tests run: a browser, proxies, promtool, systemd's tools."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest

FOLDERS = (
    str(Path(sys.executable).parent),
    os.environ.get("PATH", ""),
    "/usr/local/sbin:/usr/sbin",
)
"""The virtual environment's programs first; Debian keeps servers in sbin."""


def installed(*names: str, required_by: str) -> str:
    """Return the path of the first of these programs.

    If there is none, skip the test, or fail it if the variable ``required_by`` is set.
    """
    for name in names:
        if path := shutil.which(name, path=os.pathsep.join(FOLDERS)):
            return path
    sentence = f"{names[0]} is not installed."
    if os.environ.get(required_by):
        pytest.fail(sentence, pytrace=False)
    pytest.skip(sentence)
