"""Delivery of lifecycle webhooks: signing, sending, retries."""
