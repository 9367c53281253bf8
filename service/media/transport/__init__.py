"""WebSocket connections of media sockets."""
