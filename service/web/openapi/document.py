"""The OpenAPI document, made from the URL map and the declarations of handlers.

It contains these answers:

    the envelope and the replies of the handler, and the replies of its guard
    400   everywhere: any address can get an invalid request or a WebSocket handshake
    414   everywhere, and 431, for a head that is too large
    404   where the path contains an id
    413   where a body is read, and 415 where the body is JSON
    500   everywhere
    503   everywhere, while the database is unavailable
    the refusals of the handler and its guard (``@refuses``)

The return annotation of the handler tells whether ``data`` is an object, a list or a page. Only
this module and ``openapi.schemas`` import apispec. They are imported on the first request for the
document.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable, Iterator
from http import HTTPStatus
from typing import Any, TypeAlias, cast, get_args, get_origin, get_type_hints

from apispec import APISpec
from flask import Flask
from marshmallow import Schema
from werkzeug.routing import Rule

from service import __version__
from service.domain.paging import Page
from service.errors import Unauthorized
from service.web.declarations import JSON, Declaration, Envelope, Reply, declared
from service.web.openapi.schemas import Converter, Shapes, constant
from service.web.openapi.statuses import HEADERS, MEANINGS, REQUEST_ID
from service.web.schemas.fields import PageInfo, Request
from service.web.schemas.problems import Problem

DESCRIPTION = """\
Phone calls into rooms, without a SIP trunk.

Send your token in `Authorization`, raw or after `Bearer`. Every failure has the shape `Problem`,
including unknown addresses (404) and methods that an address does not support (405). HEAD is
answered like GET, except at webhooks and sockets. OPTIONS under `/v2` is a CORS pre-flight. Unknown
fields are ignored and named in `warnings`. Subscriptions receive a `CallEventMessage`.
"""

HANDSHAKE: dict[str, dict[str, Any]] = {
    "Connection": {"enum": ["Upgrade"]},
    "Upgrade": {"enum": ["websocket"]},
    "Sec-WebSocket-Version": {"enum": ["13"]},
    "Sec-WebSocket-Key": {"pattern": "^[A-Za-z0-9+/]{21}[AQgw]==$"},
}
"""Headers of a WebSocket handshake."""

UNDOCUMENTED = ("service.console.", "service.api.nodes")
"""Modules whose addresses are no part of the API."""

VARIABLE = re.compile(r"<(?:(?P<converter>\w+)(?:\([^)]*\))?:)?(?P<name>\w+)>")


Event: TypeAlias = tuple[Schema, Any]
"""The schema of a webhook's body, and the values of its ``event`` field."""


def document(app: Flask, event: Event) -> dict[str, Any]:
    """Return the document for the blueprints of ``app``, without ``servers``.

    ``event`` describes the body that a webhook's receiver gets.
    """
    return _Document(app, event).write()


class _Document:
    def __init__(self, app: Flask, event: Event) -> None:
        self._app = app
        self._event = event
        shapes = Shapes()
        self._spec = APISpec(
            title="Patchbay",
            version=__version__,
            openapi_version="3.1.0",
            info={"description": DESCRIPTION},
            plugins=[shapes],
        )
        self._converter = cast("Converter", shapes.converter)
        self._paths: dict[str, str] = {}
        self._operation_ids: dict[str, int] = {}
        self._resources = {
            name: sys.modules[blueprint.import_name].__doc__ or ""
            for name, blueprint in app.blueprints.items()
            if not blueprint.import_name.startswith(UNDOCUMENTED)
        }

    def write(self) -> dict[str, Any]:
        self._begin()
        for rule in self._app.url_map.iter_rules():
            view = self._app.view_functions[rule.endpoint]
            blueprint, _, name = rule.endpoint.rpartition(".")
            if blueprint in self._resources:
                self._add(rule, view, blueprint, name)
        self._converter.refer(*self._event)
        document: dict[str, Any] = self._spec.to_dict()
        return document

    def _begin(self) -> None:
        components = self._spec.components
        token = {"type": "apiKey", "in": "header", "name": "Authorization"}
        components.security_scheme("token", token)
        components.security_scheme("bearer", {"type": "http", "scheme": "bearer"})
        self._header("RequestId", "The id of this request in the log: yours, if you sent one.")
        self._header("Challenge", "How to authenticate.")
        self._header("RetryAfter", "Seconds.", kind="integer")
        for name, about in self._resources.items():
            self._spec.tag({"name": name, "description": _sentence(about)})

    def _header(self, name: str, description: str, kind: str = "string") -> None:
        header = {"description": description, "required": True, "schema": {"type": kind}}
        self._spec.components.header(name, header)

    def _add(self, rule: Rule, view: Callable[..., object], blueprint: str, name: str) -> None:
        # Paths that differ only in the name of an id are one path.
        pattern = VARIABLE.sub("{}", rule.rule)
        path = self._paths.setdefault(pattern, VARIABLE.sub(r"{\g<name>}", rule.rule))
        ids = list(self._ids(rule, path))
        guards = [declared(guard) for guard in self._app.before_request_funcs.get(blueprint, ())]
        methods = sorted((rule.methods or set()) - {"HEAD", "OPTIONS"})
        for method in methods:
            operation: dict[str, Any] = {
                "tags": [blueprint],
                "operationId": self._operation_id(blueprint, name, method, len(methods) > 1),
                "summary": _sentence(inspect.getdoc(view) or name.replace("_", " ").capitalize()),
                **_description(declared(view)),
                **self._request(declared(view), method, [*ids, *_handshake(rule)]),
                "responses": dict(sorted(self._responses(view, guards, bool(ids)).items())),
            }
            is_guarded = any(Unauthorized in guard.refusals for guard in guards)
            operation["security"] = [{"token": []}, {"bearer": []}] if is_guarded else []
            self._spec.path(path, operations={method.lower(): operation})

    def _operation_id(self, blueprint: str, name: str, method: str, one_of_several: bool) -> str:
        """Return an id that is unique even where a handler serves several methods or addresses."""
        wanted = f"{blueprint}_{name}" + (f"_{method.lower()}" if one_of_several else "")
        count = self._operation_ids[wanted] = self._operation_ids.get(wanted, 0) + 1
        return wanted if count == 1 else f"{wanted}_{count}"

    def _ids(self, rule: Rule, path: str) -> Iterator[dict[str, Any]]:
        names = re.findall(r"{(\w+)}", path)
        for name, variable in zip(names, VARIABLE.finditer(rule.rule), strict=True):
            converter = self._app.url_map.converters[variable["converter"] or "default"]
            shape = {"type": "string", "pattern": f"^{converter.regex}$"}
            yield {"in": "path", "name": name, "required": True, "schema": shape}

    def _request(
        self, declaration: Declaration, method: str, parameters: list[dict[str, Any]]
    ) -> dict[str, Any]:
        request: dict[str, Any] = {"parameters": parameters}
        if declaration.query is not None:
            parameters += self._converter.schema2parameters(declaration.query, location="query")
        if declaration.body is not None:
            request["requestBody"] = {
                "required": _is_required(declaration.body),
                "content": {JSON: {"schema": self._converter.refer(declaration.body)}},
            }
        if declaration.form:
            form = {"type": "object", "additionalProperties": {"type": "string"}}
            if method == "GET":
                parameters.append({"in": "query", "name": "parameters", "schema": form})
            else:
                content = {"application/x-www-form-urlencoded": {"schema": form}}
                request["requestBody"] = {"content": content}
        return request

    def _responses(
        self, view: Callable[..., object], guards: list[Declaration], has_id: bool
    ) -> dict[str, Any]:
        own = declared(view)
        responses: dict[str, Any] = {}
        if own.envelope is not None:
            responses[str(own.envelope.status)] = self._enveloped(own.envelope, view)
        for reply in (reply for some in (own, *guards) for reply in some.replies):
            responses[str(reply.status)] = self._reply(reply)
        if not responses:
            raise LookupError(f"{view.__module__}.{view.__qualname__} declares no answer.")
        refusals = {400, 414, 431, 500, 503}
        refusals.update(error.status for some in (own, *guards) for error in some.refusals)
        refusals.update([404] if has_id else [], [413, 415] if own.body is not None else [])
        refusals.update([413] if own.form else [])
        for status in refusals:
            responses.setdefault(str(status), self._refusal(status))
        return responses

    def _enveloped(self, envelope: Envelope, view: Callable[..., object]) -> dict[str, Any]:
        returned = get_type_hints(inspect.unwrap(view)).get("return", Any)
        if not envelope.in_data and envelope.schema is None:
            shape = constant(envelope.message)
        else:
            shape = self._members(envelope, returned)
        meaning = envelope.message or HTTPStatus(envelope.status).phrase
        return _response(meaning, REQUEST_ID, {JSON: {"schema": shape}})

    def _members(self, envelope: Envelope, returned: Any) -> dict[str, Any]:
        kind = get_origin(returned)
        several = kind in (Page, tuple)
        members: dict[str, Any] = {}
        if envelope.message is not None:
            members["message"] = constant(envelope.message)
        if envelope.status_code:
            members["statusCode"] = constant(envelope.status)
        if kind is Page:
            members["pageInfo"] = self._converter.refer(PageInfo(), Page)
        required = list(members)
        if envelope.schema is not None:
            data = self._converter.refer(
                envelope.schema, get_args(returned)[0] if several else returned
            )
            if not envelope.in_data and not several:
                dumped = self._spec.components.schemas[data["$ref"].rpartition("/")[2]]
                members |= dumped["properties"]
                required += dumped["required"]
            else:
                listed = several and not envelope.single
                members["data"] = {"type": "array", "items": data} if listed else data
                required.append("data")
        return {
            "type": "object",
            "properties": {**members, "warnings": {"type": "array", "items": {"type": "string"}}},
            "required": required,
            "additionalProperties": False,
        }

    def _reply(self, reply: Reply) -> dict[str, Any]:
        content: dict[str, Any] = {}
        if reply.schema is not None:
            content = {JSON: {"schema": self._converter.refer(reply.schema)}}
        elif reply.content_type is not None:
            kind = "object" if reply.content_type == JSON else "string"
            content = {reply.content_type.partition(";")[0]: {"schema": {"type": kind}}}
        # flask-sock answers the handshake without these headers.
        headers = {} if reply.status == HTTPStatus.SWITCHING_PROTOCOLS else REQUEST_ID
        return _response(_sentence(reply.meaning), headers, content)

    def _refusal(self, status: int) -> dict[str, Any]:
        """Return a reference to the response that all refusals of a status share."""
        phrase = HTTPStatus(status).phrase
        name = phrase.title().replace(" ", "")
        if name not in self._spec.components.responses:
            content = {JSON: {"schema": self._converter.refer(Problem())}}
            headers = REQUEST_ID | HEADERS.get(status, {})
            response = _response(MEANINGS.get(status, f"{phrase}."), headers, content)
            self._spec.components.response(name, response)
        return {"$ref": f"#/components/responses/{name}"}


def _is_required(schema: Schema) -> bool:
    """Whether a body of this schema is required."""
    chosen = isinstance(schema, Request) and (schema.either is not None or schema.changes)
    return chosen or any(field.required for field in schema.fields.values())


def _description(declaration: Declaration) -> dict[str, str]:
    sentence = declaration.need.value if declaration.need else ""
    return {"description": sentence} if sentence else {}


def _handshake(rule: Rule) -> Iterator[dict[str, Any]]:
    if rule.websocket:
        for name, shape in HANDSHAKE.items():
            schema = {"type": "string", **shape}
            yield {"in": "header", "name": name, "required": True, "schema": schema}


def _response(description: str, headers: dict[str, str], content: dict[str, Any]) -> dict[str, Any]:
    response: dict[str, Any] = {"description": description}
    if headers:
        response["headers"] = {
            header: {"$ref": f"#/components/headers/{name}"} for header, name in headers.items()
        }
    return {**response, "content": content} if content else response


def _sentence(text: str) -> str:
    """Return the first line of a docstring as Markdown."""
    return text.partition("\n")[0].replace("``", "`")
