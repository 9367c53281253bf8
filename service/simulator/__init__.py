"""The phone simulator: a provider and a caller, for tests and test calls.

It uses only the service's public HTTP and WebSocket interface. Its messages and checks follow the
providers' documentation and share no code with the service, so that it can judge the service.
"""
