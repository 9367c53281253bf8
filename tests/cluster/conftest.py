"""The folder of a machine's sockets."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.running_nodes import private_folder


@pytest.fixture
def folder() -> Iterator[Path]:
    with private_folder() as path:
        yield path
