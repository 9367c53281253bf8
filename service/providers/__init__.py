"""Phone providers: one module each, with its webhook, its markup and its media dialect.

These modules do no I/O and own no clock. A provider is a module of this package with a module-level
``PROVIDER``; no other code names it. Call control through its REST API is the ``CONTROL`` of a
second module. ``custom.py``, the custom WebSocket protocol, is no phone provider and has neither.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from functools import cache
from types import ModuleType

from service.providers.base.call_control import CallControl
from service.providers.base.provider import Provider


def load() -> Mapping[str, Provider]:
    """Return every provider by name, in alphabetical order."""
    found = (getattr(module, "PROVIDER", None) for module in _modules())
    return {each.name: each for each in found if isinstance(each, Provider)}


def controls() -> Mapping[str, CallControl]:
    """Return the call control of each provider by its name."""
    found = (getattr(module, "CONTROL", None) for module in _modules())
    return {each.provider.name: each for each in found if isinstance(each, CallControl)}


@cache
def _modules() -> tuple[ModuleType, ...]:
    names = sorted(module.name for module in pkgutil.iter_modules(__path__))
    return tuple(importlib.import_module(f"{__name__}.{name}") for name in names)
