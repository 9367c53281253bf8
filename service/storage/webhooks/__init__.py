"""Webhook subscriptions, the outbox and signing keys."""
