"""The HTTP client: requests to providers, receivers of webhooks and agents."""
