"""The operating system's view of the process: threads, file descriptors, identity."""
