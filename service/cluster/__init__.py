"""Several workers on one machine: heartbeats, takeovers, commands and passing of open sockets."""
