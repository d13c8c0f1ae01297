"""Two small pictures in one SVG: creates a second by server, and beside stored invites. For light and dark pages."""

import math
from html import escape

WIDTH, ROW, TOP = 760, 26, 44
NAMES = 250
"""Room for what stands left of the bars."""
VALUES = 80
"""Room for what stands right of them."""

SERVERS = {
    "do-nothing server": "do-nothing server, 64 connections",
    "invited, SQLite": "creates, SQLite, 64 connections",
    "invited, PostgreSQL, one node": "creates, PostgreSQL, one node, 64 connections",
    "invited, PostgreSQL, two nodes": "creates, PostgreSQL, two nodes, 64 connections",
    "pgbench, single rows": "pgbench, single durable rows, 64 clients",
    "stock Prosody, SQLite": "creates, stock Prosody, SQLite, 64 connections",
    "stock Prosody, internal, 1 000 invites": "creates, stock Prosody, internal storage, 1 000 invites, 64 connections",
}

STYLE = """
    text { font: 13px system-ui, sans-serif; fill: #1f2328; }
    .title { font-weight: 600; }
    .faint { fill: #59636e; font-size: 11px; }
    .value, .name { dominant-baseline: central; }
    .name { text-anchor: end; }
    .tick { text-anchor: middle; }
    line { stroke: #8c959f; stroke-opacity: 0.25; }
    .ours { fill: #1a7f64; }
    .other { fill: #8c959f; }
    @media (prefers-color-scheme: dark) {
        text { fill: #e6edf3; }
        .faint { fill: #9198a1; }
        .ours { fill: #3fb68f; }
        .other { fill: #6e7681; }
    }
"""


def draw(cases):
    medians = {case.name: case.median("rate") for case in cases if case.all("rate")}
    by_server = [(name, medians[case]) for name, case in SERVERS.items() if case in medians]
    by_invites = [
        (case.partition(", ")[2].removesuffix(", 64 connections"), rate)
        for case, rate in medians.items()
        if case.startswith("creates, ") and " open invites" in case
    ]
    parts, height = [], 0
    for title, bars, scale in (
        ("Invites made in a second, 64 connections (logarithmic)", by_server, Logarithmic),
        ("Invites made in a second beside those in the store, SQLite, 64 connections", by_invites, Linear),
    ):
        if bars:
            parts.append(f'<g transform="translate(0 {height})">{chart(title, bars, scale)}</g>')
            height += TOP + len(bars) * ROW + 36
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}">\n'
        f"<style>{STYLE}</style>\n" + "\n".join(parts) + "\n</svg>\n"
    )


class Linear:
    def __init__(self, values):
        step = 10 ** math.floor(math.log10(max(values)))
        step = step if max(values) / step >= 3 else step / 2
        self._end = math.ceil(max(values) / step) * step
        self.ticks = [step * number for number in range(int(self._end / step) + 1)]

    def at(self, value):
        return value / self._end


class Logarithmic:
    def __init__(self, values):
        self._start = math.floor(math.log10(min(values)))
        self._end = math.ceil(math.log10(max(values)))
        if math.log10(min(values)) - self._start < 0.2:
            self._start -= 1  # so that the shortest bar is seen
        self.ticks = [10**power for power in range(self._start, self._end + 1)]

    def at(self, value):
        return (math.log10(value) - self._start) / (self._end - self._start)


def chart(title, bars, scale):
    axis = scale([value for _, value in bars])
    bottom = TOP + len(bars) * ROW
    parts = [f'<text class="title" x="8" y="24">{title}</text>']
    for tick in axis.ticks:
        x = NAMES + axis.at(tick) * (WIDTH - NAMES - VALUES)
        parts.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{TOP - 4}" y2="{bottom}"/>')
        parts.append(f'<text class="faint tick" x="{x:.1f}" y="{bottom + 14}">{grouped(tick)}</text>')
    for number, (name, value) in enumerate(bars):
        y, width = TOP + number * ROW, axis.at(value) * (WIDTH - NAMES - VALUES)
        kind = "ours" if "invite" in name and "Prosody" not in name else "other"
        parts.append(f'<text class="name" x="{NAMES - 8}" y="{y + 10}">{escape(name)}</text>')
        parts.append(f'<rect class="{kind}" x="{NAMES}" y="{y}" width="{width:.1f}" height="20" rx="3"/>')
        parts.append(f'<text class="value" x="{NAMES + width + 8:.1f}" y="{y + 10}">{grouped(value)}</text>')
    return "".join(parts)


def grouped(value):
    return f"{value:,.{0 if value >= 1 or not value else 1}f}".replace(",", " ")
