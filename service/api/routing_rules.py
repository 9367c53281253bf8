"""``/v2/sip/routing-rule``, and ``/v2/sip/routing-rules`` for the same rules in older spelling."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask import Blueprint

from service.api import routing_rule_changes
from service.api.routing_rule_changes import OLDER, TODAY, Spelling
from service.api.schemas.routing_rules import (
    DeletedRule,
    NewOlderRule,
    NewRule,
    OlderRuleChanges,
    OlderRuleData,
    OlderRuleFilter,
    RuleChanges,
    RuleData,
    RuleFilter,
)
from service.domain.ids import new_rule_id
from service.domain.paging import Page
from service.domain.routing_rules import Rule, RuleType
from service.errors import Conflict, Invalid
from service.security.permissions import Need
from service.storage.routing_rules import NumberTaken
from service.web.declarations import needs, refuses
from service.web.responses import answer
from service.web.services import services
from service.web.validation import body, query
from service.web.warnings import warn

DELETED = "Routing rule deleted successfully"

rules = Blueprint("routing_rules", __name__, url_prefix="/v2/sip/routing-rule")
older = Blueprint("older_routing_rules", __name__, url_prefix="/v2/sip/routing-rules")


@rules.post("")
@needs(Need.ACCOUNT)
@answer(RuleData(), status=201, in_data=False)
@body(NewRule())
@refuses(Conflict)
def create(fields: dict[str, Any]) -> Rule:
    """Create a rule for called numbers, or for numbers to call from."""
    return _create(fields, TODAY)


@rules.get("")
@needs(Need.ACCOUNT)
@answer(RuleData())
@query(RuleFilter())
def index(wanted: dict[str, Any]) -> Page[Rule]:
    """List rules, newest first."""
    return services().stores.routing_rules.page(**wanted)


@rules.get("/<id:rule_id>")
@needs(Need.ACCOUNT)
@answer(RuleData(), in_data=False)
def get(rule_id: str) -> Rule:
    """Read a rule."""
    return _with_warning(services().stores.routing_rules.get(rule_id))


@rules.patch("/<id:rule_id>")
@needs(Need.ACCOUNT)
@answer(RuleData(), in_data=False)
@body(RuleChanges())
@refuses(Conflict)
def update(changes: dict[str, Any], rule_id: str) -> Rule:
    """Change the given fields of a rule and of its room."""
    return _update(rule_id, changes, TODAY)


@rules.delete("/<id:rule_id>")
@needs(Need.ACCOUNT)
@answer(DeletedRule(), message=DELETED, in_data=False)
@refuses(Conflict)
def delete(rule_id: str) -> dict[str, str]:
    """Delete a rule."""
    return _delete(rule_id)


@older.post("")
@needs(Need.ACCOUNT)
@answer(OlderRuleData(), status=201, in_data=False)
@body(NewOlderRule())
@refuses(Conflict)
def create_older(fields: dict[str, Any]) -> Rule:
    """Create a rule, in the older spelling."""
    # In VideoSDK the gateway decides about the direction. Our connectors serve both.
    return _create({"type": RuleType.INBOUND, **fields}, OLDER)


@older.get("")
@needs(Need.ACCOUNT)
@answer(OlderRuleData())
@query(OlderRuleFilter())
def index_older(wanted: dict[str, Any]) -> Page[Rule]:
    """List rules, in the older spelling."""
    return services().stores.routing_rules.page(**wanted)


@older.get("/<id:rule_id>")
@needs(Need.ACCOUNT)
@answer(OlderRuleData(), in_data=False)
def get_older(rule_id: str) -> Rule:
    """Read a rule, in the older spelling."""
    return _with_warning(services().stores.routing_rules.get(rule_id))


@older.put("/<id:rule_id>")
@needs(Need.ACCOUNT)
@answer(OlderRuleData(), in_data=False)
@body(OlderRuleChanges())
@refuses(Conflict)
def update_older(changes: dict[str, Any], rule_id: str) -> Rule:
    """Change a rule, in the older spelling."""
    return _update(rule_id, changes, OLDER)


@older.delete("/<id:rule_id>")
@needs(Need.ACCOUNT)
@answer(DeletedRule(), message=DELETED, in_data=False)
@refuses(Conflict)
def delete_older(rule_id: str) -> dict[str, str]:
    """Delete a rule, in the older spelling."""
    return _delete(rule_id)


def _with_warning(rule: Rule) -> Rule:
    """Return the rule, and warn where its PIN cannot be read."""
    if rule.room.is_locked:
        warn(
            f"The PIN of {rule.id} cannot be read with this API_SECRET: set it again, or to null; "
            "until then the rule lets nobody in."
        )
    return rule


def _create(fields: Mapping[str, Any], spelling: Spelling) -> Rule:
    at = services().clock.now()
    blank = routing_rule_changes.blank(new_rule_id(), fields["type"], at)
    rule = routing_rule_changes.apply(blank, fields, spelling, at)
    try:
        services().stores.routing_rules.add(rule)
    except NumberTaken as taken:
        raise routing_rule_changes.taken(taken, spelling) from None
    routing_rule_changes.warn_of_unknown_agent(fields, spelling)
    return rule


def _update(rule_id: str, changes: Mapping[str, Any], spelling: Spelling) -> Rule:
    if not changes.keys() - {"type"}:
        raise Invalid("No editable fields provided")
    at = services().clock.now()
    try:
        rule = services().stores.routing_rules.update(
            rule_id, lambda rule: routing_rule_changes.apply(rule, changes, spelling, at)
        )
    except NumberTaken as taken:
        raise routing_rule_changes.taken(taken, spelling) from None
    routing_rule_changes.warn_of_unknown_agent(changes, spelling)
    return rule


def _delete(rule_id: str) -> dict[str, str]:
    services().stores.routing_rules.delete(services().stores.routing_rules.get(rule_id))
    return {"rule_id": rule_id}
