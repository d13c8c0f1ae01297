"""What is wanted, each as a figure of one round compared with its bound."""

from dataclasses import dataclass
from operator import itemgetter

from harness.invited import BINARY


@dataclass(frozen=True)
class Goal:
    """`figure` takes one round, the visits by name, and fails with KeyError if it lacks a case."""

    what: str
    bound: float
    figure: callable
    unit: str = " ×"
    at_most: bool = False

    @property
    def wanted(self):
        return f"{'≤' if self.at_most else '≥'} {self.bound:,g}{self.unit}"

    def show(self, value):
        digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2
        return f"{value:,.{digits}f}{self.unit}"

    def met_by(self, value):
        return value <= self.bound if self.at_most else value >= self.bound

    def measure(self, cases):
        """A value for each round, or nothing if a case was left out."""
        rounds = [
            dict(zip((case.name for case in cases), visits, strict=True))
            for visits in zip(*(case.visits for case in cases), strict=True)
        ]
        try:
            return [self.figure(round_) for round_ in rounds]
        except KeyError:
            return None


def ratio(one, other, figure=itemgetter("rate")):
    return lambda round_: figure(round_[one]) / figure(round_[other])


def per_second_of_postgres(visit):
    return visit["rate"] / visit["cores"]["PostgreSQL"]


def alone(case, figure):
    return lambda round_: round_[case][figure]


def added(one, other, figure):
    return lambda round_: round_[one][figure] - round_[other][figure]


def goals():
    creates = "creates, SQLite, 64 connections"
    for connections in (64, 16):
        yield Goal(
            f"durable creates, SQLite, 64 connections, against stock Prosody with SQLite at {connections} connections",
            40,
            ratio(creates, f"creates, stock Prosody, SQLite, {connections} connections"),
        )
        yield Goal(
            f"… against stock Prosody with internal storage and 1 000 invites at {connections} connections",
            1000,
            ratio(creates, f"creates, stock Prosody, internal storage, 1 000 invites, {connections} connections"),
        )
    nothing = "do-nothing server, 64 connections"
    yield Goal("… against the do-nothing server", 0.5, ratio(creates, nothing))
    for filled in ("1 000", "100 000", "1 000 000", "10 000 000"):
        yield Goal(
            f"… with {filled} open invites against an empty store",
            0.9,
            ratio(f"creates, {filled} open invites, 64 connections", "creates, 0 open invites, 64 connections"),
        )
    one_node = "creates, PostgreSQL, one node, 64 connections"
    yield Goal(
        "durable creates, PostgreSQL, one node, 64 connections, against pgbench inserting single rows, 64 clients",
        2,
        ratio(one_node, "pgbench, single durable rows, 64 clients"),
    )
    yield Goal(
        "… for each CPU second of PostgreSQL",
        2,
        ratio(one_node, "pgbench, single durable rows, 64 clients", figure=per_second_of_postgres),
    )
    small = "with a quarter of a core each, 64 connections"
    yield Goal(
        "… two nodes against one, where the nodes are the limit (each has a quarter of a core)",
        1.6,
        ratio(f"creates, PostgreSQL, two nodes {small}", f"creates, PostgreSQL, one node {small}"),
    )
    yield Goal(
        "… two nodes against one, where all share two cores (“What was busy” shows what the limit is)",
        1.6,
        ratio("creates, PostgreSQL, two nodes, 64 connections", one_node),
    )
    pages = "landing pages, SQLite, 64 connections"
    yield Goal("landing pages, of one link, against the do-nothing server", 0.4, ratio(pages, nothing))
    many = "landing pages of 1 000 links, SQLite, 64 connections"
    yield Goal("… of 1 000 links in turn", 0.4, ratio(many, nothing))
    loaded, unloaded = (f"unknown tokens {when}, 4 connections" for when in ("while 64 connections create", "alone"))
    yield Goal(
        "p99 of look-ups of unknown tokens under full create load against alone",
        3,
        ratio(loaded, unloaded, itemgetter("p99")),
        at_most=True,
    )
    for storage in ("internal", "SQLite"):
        ours, stock = (
            f"registrations, {server}, {storage} storage" for server in ("Prosody with our module", "stock Prosody")
        )
        yield Goal(
            f"registrations in apps, accounts in {storage} storage: our module and invited against stock Prosody,"
            " 8 at a time",
            0.9,
            ratio(f"{ours}, 8 at a time", f"{stock}, 8 at a time"),
        )
        yield Goal(
            "… latency added at the median, one at a time",
            5,
            added(f"{ours}, 1 at a time", f"{stock}, 1 at a time", "p50"),
            " ms",
            at_most=True,
        )
    yield Goal(
        "resident memory serving with 1 million open invites (the most)",
        48,
        alone("memory, 1 000 000 open invites", "peak"),
        " MiB",
        at_most=True,
    )
    yield Goal(
        "start-up to first answer with 10 million invites",
        150,
        alone("start-up, 10 000 000 open invites", "start"),
        " ms",
        at_most=True,
    )
    yield Goal("release binary, stripped", 25, lambda _: BINARY.stat().st_size / 2**20, " MiB", at_most=True)
