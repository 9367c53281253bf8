"""Permissions: the need of each handler, and whether a token meets it.

Every handler declares its need. A token without ``permissions``, such as a server's, may do
everything within the room or participant that it is tied to, if any.
"""

from __future__ import annotations

from enum import Enum

from service.errors import Forbidden
from service.security.access_tokens import Grant

MODERATE = "allow_mod"
JOIN = ("allow_join", "ask_join", MODERATE)

TIED = "This token is tied to one room or participant; {} a wider one."


class Need(Enum):
    """The need of a handler. The value is its sentence in the OpenAPI document."""

    NOTHING = ""
    OWN_KEY = "Takes no token: the key in the address is the credential."
    NODE = "Takes a token that only the nodes of this service can sign."
    JOIN = "Needs any permission."
    SELF = "Needs `allow_mod`, or a token for the participant concerned."
    MODERATE = "Needs `allow_mod`."
    DIAL = (
        "Needs `allow_mod` and, unless `DIAL_TIED_TOKENS` is on, a token that is tied to no room "
        "and no participant."
    )
    ACCOUNT = "Needs `allow_mod`, and a token that is tied to no room and no participant."

    @property
    def takes_token(self) -> bool:
        return self not in (Need.NOTHING, Need.OWN_KEY, Need.NODE)


def may_moderate(grant: Grant) -> bool:
    """Whether the token allows more than joining."""
    return grant.permissions is None or MODERATE in grant.permissions


def require(need: Need, grant: Grant, *, tied_may_dial: bool = False) -> None:
    """Raise ``Forbidden`` where the token does not meet the need."""
    if need is Need.JOIN or (need is Need.SELF and grant.participant_id is not None):
        allowed: tuple[str, ...] = JOIN
    else:
        allowed = (MODERATE,)
    if grant.permissions is not None and not set(allowed) & set(grant.permissions):
        raise Forbidden(f"This token's permissions lack {' or '.join(allowed)}, needed here.")
    if need is Need.ACCOUNT and grant.is_tied:
        raise Forbidden(TIED.format("this address needs"))
    if need is Need.DIAL and grant.is_tied and not tied_may_dial:
        raise Forbidden("A token tied to one room or participant may not dial: use a wider one.")
