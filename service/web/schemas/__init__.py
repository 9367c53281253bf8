"""Marshmallow fields and schemas that the API and the console share."""
