"""Chart of the server's CPU over the number of calls, as SVG. This file does no I/O."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from xml.sax.saxutils import escape

from bench.results import Series
from bench.search import faults

WIDTH, HEIGHT = 920, 460
LEFT, RIGHT, TOP, BOTTOM = 60, 310, 50, 50

COLOURS = ("#0b6e4f", "#1f78b4", "#7b3294", "#d95f02", "#a6761d", "#666666")
"""In the order of the series; dark enough on white, and distinct for the colour-blind."""


def chart(series: Sequence[Series]) -> str:
    """Draw CPU in percent of a core; a ring marks the confirmed limit of a server."""
    points = [
        (one, sorted((run.calls, run.server_cpu) for run in one.readings if not faults(run)))
        for one in series
    ]
    most = max((calls for _, line in points for calls, _ in line), default=100)
    step = next(step for step in (50, 100, 200, 500, 1000) if most <= 8 * step or step == 1000)
    right = (most // step + 1) * step

    def x(calls: float) -> str:
        return f"{LEFT + calls / right * (WIDTH - LEFT - RIGHT):.1f}"

    def y(share: float) -> str:
        return f"{HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM):.1f}"

    def axes() -> Iterator[str]:
        for percent in range(0, 101, 20):
            level = y(percent / 100)
            yield f'<path d="M{LEFT} {level}H{WIDTH - RIGHT}" stroke="#ddd"/>'
            yield f'<text x="{LEFT - 8}" y="{level}" dy="4" text-anchor="end">{percent} %</text>'
        for calls in range(0, right + 1, step):
            yield (
                f'<text x="{x(calls)}" y="{HEIGHT - BOTTOM + 20}" text-anchor="middle">'
                f"{calls}</text>"
            )
        yield f'<text x="{LEFT}" y="24" font-size="16">CPU of one core over calls</text>'

    def lines() -> Iterator[str]:
        for place, (one, line) in enumerate(points):
            colour = COLOURS[place % len(COLOURS)]
            corners = " ".join(f"{x(calls)},{y(cpu)}" for calls, cpu in line)
            yield f'<polyline points="{corners}" fill="none" stroke="{colour}" stroke-width="2"/>'
            if one.limit is not None:
                yield (
                    f'<circle cx="{x(one.limit.calls)}" cy="{y(one.limit.server_cpu)}" r="6" '
                    f'fill="none" stroke="{colour}" stroke-width="2"/>'
                )
            found = "none" if one.limit is None else str(one.limit.calls)
            height, left = TOP + 40 * place, WIDTH - RIGHT + 20
            yield f'<path d="M{left} {height}h20" stroke="{colour}" stroke-width="3"/>'
            yield f'<text x="{left + 26}" y="{height + 4}">{escape(one.name)}</text>'
            yield (
                f'<text x="{left + 26}" y="{height + 19}" fill="#555">'
                f"{escape(one.rooms)}: {found} calls</text>"
            )

    body = "\n".join([*axes(), *lines()])
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        f'font-family="system-ui, sans-serif" font-size="12">\n'
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>\n{body}\n</svg>\n'
    )
