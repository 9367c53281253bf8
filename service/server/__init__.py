"""The gunicorn worker and its request framing."""
