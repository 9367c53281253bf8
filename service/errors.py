"""Errors that the service raises itself, with their HTTP status or WebSocket close code.

    ServiceError
    ├── Invalid            400: the request is malformed or contradicts itself
    ├── UnsupportedMedia   415: a body in an unsupported content type
    ├── Unauthorized       401: no token, or an invalid one
    ├── Forbidden          403: a valid token without this right
    │   ├── Forged         ... without a valid signature of a node: anybody can send that
    │   └── BadSignature   403 with an empty body: a provider's request without a good signature
    │       └── Unverifiable   ... or with one that cannot be checked
    ├── NotFound           404
    │   └── WrongName      402: a customRoomId where VideoSDK takes a roomId only
    ├── Conflict           409
    ├── Gone               410: a used or expired reference
    ├── Misdirected        421: a socket that belongs to another machine
    ├── Busy               503 + Retry-After: full or draining
    │   ├── Contended          ... or this transaction waited too long for others
    │   └── TooMany        429 + Retry-After: too many failures from one address
    ├── BadGateway         502: a provider that was asked gave no answer, or refused
    ├── Locked             500: a stored secret that this API_SECRET cannot decrypt
    └── RemoteError        400, socket 1002/1003/1007/1008/1009: a peer broke its protocol
        └── RefusedStart       ... with a start message, so that its stream cannot begin

Each class has its HTTP status and log level. Only a ``RemoteError`` can occur on an open socket, so
only it has a close code. The others are raised before the upgrade.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping


class ServiceError(Exception):
    """A failure, with one sentence for the client."""

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


class Forged(Forbidden):
    """A request that no node of this deployment has signed. Anybody can send one."""

    log_level = logging.INFO


class BadSignature(Forbidden):
    """A provider's request without a valid signature. The answer has no body."""


class Unverifiable(BadSignature):
    """The secret that verifies the signature is stored, but cannot be decrypted."""

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


class Misdirected(ServiceError):
    """A socket was opened to another machine than that of its call."""

    status = 421
    log_level = logging.WARNING


class Busy(ServiceError):
    """Full or draining. ``retry_after`` is in seconds."""

    status = 503
    log_level = logging.WARNING

    def __init__(self, message: str, *, retry_after: int = 5) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Contended(Busy):
    """One transaction waited too long for others. The database itself is available."""


class TooMany(Busy):
    """One address has failed too often. Logged at debug level, because it may go on for long."""

    status = 429
    log_level = logging.DEBUG


class BadGateway(ServiceError):
    status = 502
    log_level = logging.WARNING


class Locked(ServiceError):
    """A stored secret cannot be decrypted: it was encrypted under another ``API_SECRET``."""


class RemoteError(ServiceError):
    """A message of a provider or a WebSocket peer that its own protocol does not allow."""

    status = 400
    close_code = 1002
    log_level = logging.WARNING

    def __init__(self, message: str, *, close_code: int = 1002) -> None:
        super().__init__(message)
        self.close_code = close_code


class RefusedStart(RemoteError):
    """An unusable start message. The media stream cannot begin, so its socket is closed."""


class SettingsError(SystemExit):
    """Ends the start: the interpreter prints the sentence to stderr and exits with 1."""
