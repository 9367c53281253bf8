"""What must outlive the process: connectors, calls, rooms and sessions, in SQLite or Postgres.

The only room with SQLAlchemy (Core, no ORM). Rows never leave it; values of ``model`` do.
"""
