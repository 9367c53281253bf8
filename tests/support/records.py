"""Valid values to store: connector, rule, agent and call, with the test's changes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from service.domain.agents import Agent
from service.domain.calls import Call, CallStatus, LadderEvent, LadderStep, Participant
from service.domain.connectors import Connector
from service.domain.ids import (
    new_agent_id,
    new_call_id,
    new_connector_id,
    new_rule_id,
    new_subscription_id,
    new_webhook_key,
)
from service.domain.routing_rules import RoomType, Rule, RuleRoom, RuleType
from service.domain.webhook_events import CallEvent
from service.domain.webhooks import Subscription


def a_connector(**changes: Any) -> Connector:
    connector = Connector(
        id=new_connector_id(),
        provider="twilio",
        name="Front desk",
        webhook_key=new_webhook_key(),
        default_room_id="abcd-efgh-ijkl",
        default_rule_id=None,
        region=None,
        created_at=1_000,
    )
    return replace(connector, **changes)


def a_rule(**changes: Any) -> Rule:
    """Return an inbound rule for +14155550199 that leads to the room ``rule-room-0001``."""
    rule = Rule(
        id=new_rule_id(),
        name="Support",
        type=RuleType.INBOUND,
        numbers=("+14155550199",),
        room=RuleRoom(RoomType.STATIC, None, "rule-room-0001", None),
        hide_phone_number=False,
        dtmf=False,
        allowed_numbers=(),
        extra={},
        created_at=1_000,
        updated_at=1_000,
    )
    return replace(rule, **changes)


def an_agent(**changes: Any) -> Agent:
    agent = Agent(
        id=new_agent_id(),
        name="Echo",
        url="https://agents.example.com/join",
        created_at=1_000,
        updated_at=1_000,
    )
    return replace(agent, **changes)


def a_subscription(**changes: Any) -> Subscription:
    """Return a subscription to the start and end of calls."""
    subscription = Subscription(
        id=new_subscription_id(),
        url="https://example.com/calls",
        events=(CallEvent.STARTED, CallEvent.HANGUP),
        created_at=1_000,
        updated_at=1_000,
    )
    return replace(subscription, **changes)


def a_call(**changes: Any) -> Call:
    """Return an incoming call of connector ``cn_1``, which expires at 91,000."""
    status = changes.get("status", CallStatus.INCOMING)
    call = Call(
        id=new_call_id(),
        provider="twilio",
        provider_call_id="CA" + new_call_id(),
        connector_id="cn_1",
        room_id="abcd-efgh-ijkl",
        rule_id=None,
        session_id=None,
        caller="+14155559876",
        callee="+14155550123",
        status=status,
        participant=Participant("p1", "+14155559876", {"sipUser": True, "callType": "inbound"}),
        region=None,
        started_at=1_000,
        expires_at=91_000,
        attempts=1,
        steps=(
            LadderStep(LadderEvent.WEBHOOK, 1_000, status),
            LadderStep(LadderEvent.MARKUP, 1_001, status),
        ),
    )
    return replace(call, **changes)
