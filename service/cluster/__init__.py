"""Several workers on one machine: commands and open sockets between their media engines."""
