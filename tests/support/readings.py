"""A reading of the benchmark that tests modify."""

from __future__ import annotations

from bench.job import Reading

GOOD = Reading(
    calls=100,
    room_size=2,
    seconds=5,
    heard=1.0,
    answered=1.0,
    exact=1.0,
    latency_p50=13.0,
    latency_p99=23.0,
    lateness_p99=2.0,
    server_cpu=0.1,
    strangers=0.0,
    memory=20_480.0,
    lost=0,
    unsent=0,
    generator_cpu=0.2,
    generator_lateness_p99=1.0,
)
"""A hundred calls in rooms of two, on a server and a generator that keep up with them."""
