"""The signature check of Telnyx's SDK, loaded alone: all of the SDK takes seconds to import."""

from __future__ import annotations

from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path

PACKAGE = find_spec("telnyx")
assert PACKAGE is not None
assert PACKAGE.submodule_search_locations is not None
(FOLDER,) = PACKAGE.submodule_search_locations
FOUND = spec_from_file_location(
    "telnyx_webhook_verification", Path(FOLDER, "lib", "webhook_verification.py")
)
assert FOUND is not None
assert FOUND.loader is not None
_module = module_from_spec(FOUND)
FOUND.loader.exec_module(_module)

WebhookVerificationError = _module.WebhookVerificationError
verify_webhook_signature = _module.verify_webhook_signature
