"""The shapes of requests and answers as marshmallow schemas, a module for each resource."""
