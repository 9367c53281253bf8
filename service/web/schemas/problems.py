"""What everybody is told whose request fails."""

from __future__ import annotations

from marshmallow import Schema, fields


class Problem(Schema):
    """The one shape of every failure; ``errors`` only where single fields are at fault."""

    message = fields.String()
    status_code = fields.Integer(data_key="statusCode")
    errors = fields.Dict(
        keys=fields.String(), values=fields.List(fields.String()), metadata={"optional": True}
    )
