"""What came out: a line for each case, what kept it busy, and how it compares with what is wanted."""

import os
import platform
import re
import statistics
import subprocess
from pathlib import Path

from goals import goals

from harness.invited import BINARY
from harness.postgres import PROGRAMS
from harness.prosody import REPOSITORY

METHOD = """\
{rounds} visits of {seconds} s for each case, in interleaved rounds, all on loopback. Rates are those of this machine
at this hour; only the ratios travel. Medians of the rounds; ± is half of what lies between the least and the greatest.
Each visit starts its server on the same data as the visits before (stores of 10 million invites are not put back,
PostgreSQL goes on with emptied tables); the page cache of the system is warm. CPU is that of all processes of the
server, PostgreSQL's included; bytes are those that the disk took, whoever wrote them, after a checkpoint of PostgreSQL.
Registrations go through a real Prosody without TLS, from connecting to the account's confirmation, each with a token
of its own.
"""


def report(cases, options):
    parts = [
        METHOD.format(rounds=options.rounds, seconds=options.seconds),
        facts(),
        "## Wanted and measured",
        verdicts(cases),
    ]
    parts += ["## All cases", rates(cases)]
    if others := other_figures(cases):
        parts += ["## Memory and start-up", others]
    if busy := what_was_busy(cases):
        parts += ["## What was busy", busy]
    return "\n\n".join(part.rstrip("\n") for part in parts) + "\n"


def rates(cases):
    rows = []
    for case in cases:
        if not case.all("rate"):
            continue
        row = [case.name, f"{case.median('rate'):,.0f}", spread(case.all("rate"))]
        row += [shown(case.median("p50"), ".2f"), shown(case.median("p99"), ".2f")]
        written = case.median("written")
        row += [shown(case.median("cpu"), ".3f"), shown(written and written / 1024, ",.0f")]
        rows.append(row)
    return table(["case", "/s", "±", "p50 ms", "p99 ms", "CPU s per 1 000", "KiB written per 1 000"], rows)


def other_figures(cases):
    known = {
        "now": ("{}, resident after creates, landing pages and look-ups", "MiB"),
        "peak": ("{}, the most that was resident", "MiB"),
        "start": ("{}, from starting the process to its first answer", "ms"),
    }
    rows = []
    for case in cases:
        for figure, (name, unit) in known.items():
            if values := case.all(figure):
                rows.append([name.format(case.name), f"{statistics.median(values):.1f} {unit}", spread(values)])
    return rows and table(["case", "median", "±"], rows)


def what_was_busy(cases):
    """CPU cores used, by whom."""
    busy = [case for case in cases if case.all("cores") and "64" in case.name]
    rows = []
    for case in busy:
        cores = {name: statistics.median(each[name] for each in case.all("cores")) for name in case.visits[0]["cores"]}
        generator, idle = cores.pop("load"), cores.pop("idle")
        database = cores.pop("PostgreSQL", None)
        server = sum(cores.values()) if cores else None
        rows.append([case.name, *(shown(value, ".2f") for value in (server, database, generator, idle))])
    return rows and table(["case, CPU cores used by", "server", "PostgreSQL", "load generator", "nobody"], rows)


def verdicts(cases):
    rows = []
    for goal in goals():
        values = goal.measure(cases)
        if values is None:
            continue
        middle = statistics.median(values)
        between = f"{goal.show(min(values))} to {goal.show(max(values))}"
        rows.append([goal.what, goal.wanted, goal.show(middle), between, "yes" if goal.met_by(middle) else "**no**"])
    return table(["figure", "wanted", "measured", "in single rounds", "met"], rows)


def spread(values):
    return f"{(max(values) - min(values)) / 2 / statistics.median(values):.0%}"


def shown(value, form):
    return "–" if value is None else format(value, form)


def table(heads, rows):
    marks = ["---", *("--:" for _ in heads[1:])]
    return "\n".join(f"| {' | '.join(row)} |" for row in [heads, marks, *rows])


def facts():
    rows = [
        ("processor", f"{processor()}, {os.cpu_count()} cores"),
        ("memory", f"{os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') / 2**30:.1f} GiB"),
        ("kernel", f"{platform.system()} {platform.release()}"),
        ("PostgreSQL", re.search(r"PostgreSQL\) (\S+)", said(PROGRAMS / "postgres", "--version"))[1]),
        ("Prosody", re.search(r"Prosody (\S+)", said("prosodyctl", "about"))[1]),
        ("wrk", re.search(r"[\d.]+", said("wrk", "-v"))[0]),
        ("compiler", said("rustc", "--version")),
        ("commit", commit()),
        ("binary", f"{BINARY.stat().st_size / 2**20:.1f} MiB"),
    ]
    return table(["", ""], [list(row) for row in rows]).replace("--:", "---")


def processor():
    found = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    return found[1] if found else platform.machine()


def commit():
    git = ["git", "-C", REPOSITORY]
    changed = said(*git, "status", "--porcelain", "--untracked-files=no")
    return said(*git, "rev-parse", "--short", "HEAD") + (", with changes" if changed else "")


def said(*command):
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    return (done.stdout or done.stderr).strip()
