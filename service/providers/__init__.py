"""Phone providers: one file each, holding its webhook, its markup and its media dialect.

These files do no I/O and own no clock. A provider is a module of this package with a module-level
``PROVIDER``; nothing else has to know its name. The custom WebSocket protocol lives here too, but
has no ``PROVIDER``: nobody calls it by telephone. What a provider can be asked beside its webhooks
is the ``CONTROL`` of a module of its own.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator, Mapping
from types import ModuleType

from service.providers.base.call_control import CallControl
from service.providers.base.provider import Provider


def load() -> Mapping[str, Provider]:
    """Every provider by name, in alphabetical order."""
    found = (getattr(module, "PROVIDER", None) for module in _modules())
    return {each.name: each for each in found if isinstance(each, Provider)}


def controls() -> Mapping[str, CallControl]:
    """What each provider can be asked beside its webhooks, by the provider's name."""
    found = (getattr(module, "CONTROL", None) for module in _modules())
    return {each.provider.name: each for each in found if isinstance(each, CallControl)}


def _modules() -> Iterator[ModuleType]:
    for module in sorted(pkgutil.iter_modules(__path__), key=lambda module: module.name):
        yield importlib.import_module(f"{__name__}.{module.name}")
