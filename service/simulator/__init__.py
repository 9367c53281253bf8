"""The phone simulator: a provider and a caller, seen from the server's side of the webhook.

It uses the public HTTP and WebSocket surface and nothing else of the service, so that it can
judge the service: what it says and expects comes from the providers' documentation alone.
"""
