"""Nodes, the machine's lease of the database, the leases of rooms, and where calls are placed."""
