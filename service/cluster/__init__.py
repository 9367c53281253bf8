"""Several workers and machines: heartbeats, takeovers, commands and passing of open sockets."""
