"""The media plane: framing, codecs, jitter buffers, mixing, and the thread that owns sockets.

Nothing here knows Flask, a provider or the database. What comes in is a socket with a ``Wire``
and commands; what goes out is audio and reports.
"""
