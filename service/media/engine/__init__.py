"""The engine: the thread that owns media sockets and the 20 ms clock."""
