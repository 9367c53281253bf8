"""Storage of everything that must outlive the process, in SQLite or Postgres.

The only package with SQLAlchemy (Core, no ORM). Rows never leave it; values of ``service/domain``
do.

A transaction takes its locks in this order, so that two cannot deadlock:

1. the advisory lock under which rooms are named, or calls admitted without leases of rooms
2. references (``refs``), also where they are deleted
3. one call, FOR NO KEY UPDATE, which lets others add rows that name it
4. the lease of a room, then the advisory lock of one node, under which calls are admitted to it
5. rows that only this call has: its presences and loudness, the dispatch whose ticket it is
6. sessions, by id where there are two
7. the room
8. the count of dialled numbers (``dials``)
9. the lease of a receiver
10. deliveries, by ``seq``

A recording is locked before its spools, and these are the only rows of their transactions.
Other leases are the only rows of their transactions, and so is a dispatch that is changed without
its ticket's call. A rule is locked before the advisory lock of numbers, and that before connectors.
A shared transaction (``together``) changes several calls and can deadlock; it times out after
``SHARED_LOCK_MILLIS``.
"""
