"""The load generator: a process that makes many calls and listens to some of them."""
