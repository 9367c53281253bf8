"""The media plane: framing, codecs, jitter buffers, mixing, and the thread that owns sockets.

It does not import Flask, providers or storage. Its input are commands and sockets with a ``Wire``;
its output are audio and reports.
"""
