"""Everything that can go wrong on purpose, and what it means on each wire.

    ServiceError
    ├── Invalid            400: the request is not one we can act on
    ├── UnsupportedMedia   415: a body in a content type we do not read
    ├── Unauthorized       401: no token, or one that does not hold
    ├── Forbidden          403: a token that holds but does not reach this far
    │   └── BadSignature   403 with an empty body: a provider's request without a good signature
    │       └── Unverifiable   ... or with one that we cannot check
    ├── NotFound           404
    │   └── WrongName      402: a customRoomId where VideoSDK takes a roomId only
    ├── Conflict           409
    ├── Gone               410: a used or expired reference
    ├── Busy               503 + Retry-After: full or draining
    │   ├── Contended          ... or the database kept this one waiting for too long
    │   └── TooMany        429 + Retry-After: too many failures from one address
    ├── BadGateway         502: a provider that was asked gave no answer, or refused
    ├── Locked             500: a stored secret that this API_SECRET does not open
    └── RemoteError        400, socket 1002/1003/1007/1008/1009: a peer broke its protocol
        └── RefusedStart       ... with a start message, so that its stream cannot begin

Each class carries its HTTP status and log level, so that no boundary keeps a table of its own.
Only a ``RemoteError`` can happen on a socket that is open, so only it has a close code: everybody
else is refused before the upgrade.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping


class ServiceError(Exception):
    """A failure with one clear sentence for whoever caused it."""

    status = 500
    log_level = logging.ERROR

    def __init__(self, message: str, *, errors: Mapping[str, object] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.errors = dict(errors) if errors else None


class Invalid(ServiceError):
    status = 400
    log_level = logging.INFO


class UnsupportedMedia(Invalid):
    status = 415


class Unauthorized(ServiceError):
    status = 401
    log_level = logging.INFO


class Forbidden(ServiceError):
    status = 403
    log_level = logging.WARNING


class BadSignature(Forbidden):
    """A provider's request that its secret did not sign. Whoever sent it is told nothing."""


class Unverifiable(BadSignature):
    """The secret to check a signature with is stored, and cannot be read."""

    log_level = logging.ERROR


class NotFound(ServiceError):
    status = 404
    log_level = logging.INFO


class WrongName(NotFound):
    """VideoSDK's clients take 402 for an unknown room, like 404."""

    status = 402


class Conflict(ServiceError):
    status = 409
    log_level = logging.INFO


class Gone(ServiceError):
    status = 410
    log_level = logging.INFO


class Busy(ServiceError):
    """Full or draining. ``retry_after`` is in seconds."""

    status = 503
    log_level = logging.WARNING

    def __init__(self, message: str, *, retry_after: int = 5) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Contended(Busy):
    """One transaction waited too long for others; the database goes on."""


class TooMany(Busy):
    """One address has failed too often; what it is told is worth no line in the log each time."""

    status = 429
    log_level = logging.DEBUG


class BadGateway(ServiceError):
    status = 502
    log_level = logging.WARNING


class Locked(ServiceError):
    """A stored secret cannot be opened: it was sealed under another ``API_SECRET``."""


class RemoteError(ServiceError):
    """A provider or a socket peer sent something its own protocol does not allow."""

    status = 400
    close_code = 1002
    log_level = logging.WARNING

    def __init__(self, message: str, *, close_code: int = 1002) -> None:
        super().__init__(message)
        self.close_code = close_code


class RefusedStart(RemoteError):
    """A start message without which a media stream cannot begin: its socket is closed."""


class SettingsError(SystemExit):
    """Stops the start: the interpreter prints the sentence to stderr and exits with 1."""
