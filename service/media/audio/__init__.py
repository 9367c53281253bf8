"""Samples: codecs, mixing and levels."""
