"""What must outlive the process: connectors, calls, rooms and sessions, in SQLite or Postgres.

The only room with SQLAlchemy (Core, no ORM). Rows never leave it; values of ``model`` do.

A transaction takes its locks in this order, which is why no two wait for each other:

1. the advisory lock under which calls are admitted, or rooms named
2. references (``refs``), also where they are deleted
3. one call, FOR NO KEY UPDATE, which lets others add rows that name it
4. what only this call has: its stays and loudness, the dispatch that it is the ticket of
5. sessions, by id where there are two
6. the room
7. how many numbers have been dialled (``dials``)
8. deliveries, by ``seq``

A dispatch that is changed without its ticket's call is the only row of its transaction. A rule
comes before the advisory lock of numbers, and that before connectors. What is done ``together``
changes several calls, so it can wait in a circle; it gives way after ``SHARED_LOCK_MILLIS``.
"""
