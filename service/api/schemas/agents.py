"""Schemas of agents."""

from __future__ import annotations

from marshmallow import Schema, fields, validate

from service.api.schemas.addresses import CallableUrl
from service.web.schemas.fields import Instant, PageFilter, Request, Text, at_most

NAME = [validate.Length(min=1, error="must not be empty"), *at_most(128)]


class AgentChanges(Request):
    changes = True

    name = Text(validate=NAME)
    url = CallableUrl()


class NewAgent(AgentChanges):
    name = Text(required=True, validate=NAME)
    url = CallableUrl(required=True)


class AgentFilter(PageFilter):
    search = Text(validate=at_most(128))


class AgentData(Schema):
    id = fields.String()
    agent_id = fields.String(attribute="id", data_key="agentId", dump_only=True)
    name = fields.String()
    url = fields.String()
    created_at = Instant(data_key="createdAt")
    updated_at = Instant(data_key="updatedAt")
