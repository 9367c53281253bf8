"""Jitter buffers: audio of any chunking in, one frame per tick out."""
