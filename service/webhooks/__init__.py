"""Lifecycle webhooks on their way out: signed, sent, and sent again until they arrive."""
