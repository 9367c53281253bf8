"""Common parts of phone providers."""
