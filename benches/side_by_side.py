"""Side by side, interleaved, in one run: what creating an invite costs here and elsewhere.

Every round visits every case once, so that a noisy minute hurts all alike; the table has the median of the
rounds and their spread. Ratios are taken within a round and then their median.
"""

import argparse
import os
import re
import secrets
import sqlite3
import statistics
import subprocess
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from harness.certificates import Certificates
from harness.invited import BINARY, Invited
from harness.postgres import PROGRAMS, Postgres
from harness.process import Server
from harness.prosody import Prosody
from harness.waiting import accepts, free_port, wait_until

NOTHING = Path(os.environ["NOTHING_BIN"]).resolve()


def arguments():
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5, help="visits of each case (5)")
    parser.add_argument("--seconds", type=int, default=5, help="length of one visit (5)")
    parser.add_argument("--connections", type=int, nargs="*", default=[1, 16, 64, 256], metavar="N")
    parser.add_argument("--filled", type=int, nargs="*", default=[], metavar="N", help="also with N open invites in SQLite")
    parser.add_argument("--without-prosody", action="store_true", help="leave stock Prosody out; it is slow")
    parser.add_argument("--save", type=Path, metavar="FILE", help="write the table there, too")
    return parser.parse_args()


@dataclass
class Case:
    """`prepare` is called before each visit and answers the address to ask."""

    name: str
    measure: callable
    rates: list = field(default_factory=list)
    p50: list = field(default_factory=list)
    p99: list = field(default_factory=list)

    def visit(self, seconds):
        rate, p50, p99 = self.measure(seconds)
        self.rates.append(rate)
        self.p50.append(p50)
        self.p99.append(p99)


def wrk(url, seconds, connections, *, method="GET", headers=(), expect=201):
    """Requests a second, median and 99th percentile in milliseconds; any other status is an error."""
    script = f'wrk.method = "{method}"\n'
    script += "".join(f'wrk.headers["{name}"] = "{value}"\n' for name, value in headers)
    script += f"""
local wrong = 0
function response(status) if status ~= {expect} then wrong = wrong + 1 end end
local threads = {{}}
function setup(thread) table.insert(threads, thread) end
"""
    script = script.replace("local wrong = 0", "wrong = 0")
    script += """
function done(summary, latency)
    local bad = 0
    for _, thread in ipairs(threads) do bad = bad + thread:get("wrong") end
    io.write(string.format("RESULT %f %f %f %d %d\\n", summary.requests / (summary.duration / 1e6),
        latency:percentile(50) / 1e3, latency:percentile(99) / 1e3, bad,
        summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout))
end
"""
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as file:
        file.write(script)
        file.flush()
        command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "20s", "-s", file.name, url]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    rate, p50, p99, bad, errors = re.search(r"RESULT (\S+) (\S+) (\S+) (\d+) (\d+)", done.stdout).groups()
    assert int(bad) == 0 and int(errors) == 0, f"{url}: {bad} wrong answers, {errors} errors\n{done.stdout}"
    return float(rate), float(p50), float(p99)


class Nothing(Server):
    def __init__(self, directory):
        self.port = free_port()
        super().__init__("nothing", [str(NOTHING), str(self.port)], directory / "nothing.log")

    def start(self):
        self.spawn()
        wait_until(lambda: self.assert_running() and accepts(self.port), "it listens")


class Bench:
    def __init__(self, stack, options):
        self.stack = stack
        self.options = options
        self.folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="invited-bench-")))
        self.cases = []

    def start(self, server):
        self.stack.callback(server.stop)
        server.start()
        return server

    def invited(self, name, **settings):
        folder = self.folder / name
        certificates = Certificates(folder / "certificates")
        server = Invited(
            folder / "invited", xmpp_port=free_port(), authority=certificates.authority, log_level="warn", **settings
        )
        return server

    def add(self, name, measure):
        self.cases.append(Case(name, measure))

    def creates(self, name, server):
        headers = [("Authorization", f"Bearer {server.key()}")]
        for connections in self.options.connections:
            self.add(
                f"{name}, {connections} connections",
                lambda s, c=connections: wrk(f"{server.url}/invites_api", s, c, method="POST", headers=headers),
            )

    def build(self):
        nothing = self.start(Nothing(self.folder))
        for connections in self.options.connections:
            self.add(
                f"do-nothing server, {connections} connections",
                lambda s, c=connections: wrk(f"http://127.0.0.1:{nothing.port}/invites_api", s, c, method="POST"),
            )
        plain = self.start(self.invited("sqlite"))
        self.creates("invited, SQLite", plain)
        page = plain.invite("--max-uses", "2")["url"]
        self.add("landing page, 64 connections", lambda s: wrk(page, s, 64, expect=200))
        bad = f"{plain.url}/invite?{'A' * 24}"
        self.add("unknown token, 64 connections", lambda s: wrk(bad, s, 64, expect=404))
        for count in self.options.filled:
            filled = self.invited(f"filled-{count}")
            filled.output_of("invite", "create", "localhost")
            fill(filled.data / "invited.sqlite", count)
            self.creates(f"invited, SQLite with {count:,} open invites", self.start(filled))
        database = self.start(Postgres())
        self.creates("invited, PostgreSQL", self.start(self.invited("postgres", database=database.url)))
        self.add("pgbench, one durable row at a time, 64 clients", lambda s: pgbench(database, s))
        if not self.options.without_prosody:
            for name, storage in (("SQLite", "sql"), ("internal, 1 000 invites", "internal")):
                self.prosody(f"Prosody, {name}", storage, 1000 if storage == "internal" else 0)

    def prosody(self, name, storage, filled):
        folder = self.folder / f"prosody-{storage}"
        certificates = Certificates(folder / "certificates")
        prosody = Prosody(
            folder / "prosody",
            certificates,
            stock=True,
            modules=["http", "invites_api", "invites_page", "register_apps"],
            options={"storage": storage},
        )
        self.start(prosody)
        key = re.search(r"\S+/\S+", prosody.control("mod_invites_api", "create", "localhost", "bench").stdout)[0]
        url = f"http://127.0.0.1:{prosody.http_port}/invites_api?key={key}"
        for _ in range(filled // 50):
            subprocess.run(["curl", "-sf", "-o", "/dev/null", f"{url}&n=[1-50]"], check=True)
        self.add(f"{name}, 16 connections", lambda s: wrk(url, s, 16))

    def run(self):
        for round_ in range(self.options.rounds):
            for case in self.cases:
                case.visit(self.options.seconds)
                print(f"round {round_ + 1}: {case.name}: {case.rates[-1]:,.0f}/s", flush=True)


def fill(file, count):
    """Puts open invites in as the daemon would have: ids in order of time, random hashes, a sealed token each."""
    now = int(time.time())
    with sqlite3.connect(file) as database:
        database.execute("pragma synchronous = off")
        rows = (
            (
                (now * 1000 + n // 50).to_bytes(6, "big") + b"\x70" + secrets.token_bytes(9),
                secrets.token_bytes(32),
                secrets.token_bytes(52),
                now,
                now + 604_800,
            )
            for n in range(count)
        )
        database.executemany(
            "insert into invites (id, host, token_hash, token_sealed, kind, registers, max_uses, uses, created_at,"
            " expires_at, details) values (?, 'localhost', ?, ?, 'account', 1, 1, 0, ?, ?, '{\"source\":\"bench\"}')",
            rows,
        )


def pgbench(database, seconds):
    database.sql("create table if not exists bench (id bigserial primary key, body text)")
    with tempfile.NamedTemporaryFile("w", suffix=".sql") as script:
        script.write(f"insert into bench (body) values ('{'x' * 200}');\n")
        script.flush()
        where = ["-h", "127.0.0.1", "-p", str(database.port), "-U", "invited"]
        done = subprocess.run(
            [PROGRAMS / "pgbench", *where, "-n", "-c64", "-j1", f"-T{seconds}", "-Mprepared", "-f", script.name, "invited"],
            capture_output=True,
            text=True,
            check=True,
        )
    tps = float(re.search(r"tps = ([\d.]+)", done.stdout)[1])
    latency = float(re.search(r"latency average = ([\d.]+)", done.stdout)[1])
    return tps, latency, float("nan")


RATIOS = [
    ("durable creates, SQLite, 64 connections, against Prosody with SQLite", "invited, SQLite, 64", "Prosody, SQLite", 40),
    ("… against Prosody with internal storage and 1 000 invites", "invited, SQLite, 64", "Prosody, internal", 1000),
    ("… against the do-nothing server", "invited, SQLite, 64", "do-nothing server, 64", 0.5),
    ("landing page against the do-nothing server", "landing page", "do-nothing server, 64", 0.4),
    ("durable creates, PostgreSQL, 64 connections, against pgbench", "invited, PostgreSQL, 64", "pgbench", 2),
]


def report(cases):
    lines = ["| case | /s, median | spread | p50 ms | p99 ms |", "| --- | --: | --: | --: | --: |"]
    for case in cases:
        middle = statistics.median(case.rates)
        spread = (max(case.rates) - min(case.rates)) / middle
        p50, p99 = statistics.median(case.p50), statistics.median(case.p99)
        lines.append(f"| {case.name} | {middle:,.0f} | ±{spread / 2:.0%} | {p50:.2f} | {p99:.2f} |")
    lines += ["", "| ratio | wanted | measured |", "| --- | --: | --: |"]
    ratios = list(RATIOS)
    for case in cases:
        if found := re.match(r"(invited, SQLite with [\d,]+ open invites, 64)", case.name):
            ratios.append((f"{found[1]} connections, against an empty store", found[1], "invited, SQLite, 64", 0.9))
    for what, one, other, wanted in ratios:
        ours = next((case for case in cases if case.name.startswith(one)), None)
        theirs = next((case for case in cases if case.name.startswith(other)), None)
        if ours and theirs:
            ratio = statistics.median(a / b for a, b in zip(ours.rates, theirs.rates, strict=True))
            lines.append(f"| {what} | {wanted:g} | {ratio:,.2f} |")
    return "\n".join(lines)


def main():
    options = arguments()
    with ExitStack() as stack:
        bench = Bench(stack, options)
        bench.build()
        bench.run()
        table = report(bench.cases)
    size = BINARY.stat().st_size / 2**20
    table += f"\n\nThe binary has {size:.1f} MiB.\n"
    print(f"\n{table}")
    if options.save:
        options.save.write_text(table)


main()
