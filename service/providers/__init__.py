"""Phone providers: one file each, holding its webhook, its markup and its media dialect.

These files do no I/O and own no clock. A provider is a module of this package with a module-level
``PROVIDER``; nothing else has to know its name. The custom WebSocket protocol lives here too, but
has no ``PROVIDER``: nobody calls it by telephone.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping

from service.providers.base import Provider


def load() -> Mapping[str, Provider]:
    """Every provider by name, in alphabetical order."""
    found: dict[str, Provider] = {}
    for module in sorted(pkgutil.iter_modules(__path__), key=lambda module: module.name):
        provider = getattr(importlib.import_module(f"{__name__}.{module.name}"), "PROVIDER", None)
        if isinstance(provider, Provider):
            found[provider.name] = provider
    return found
