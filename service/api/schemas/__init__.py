"""Marshmallow schemas of requests and answers, a module for each resource."""
