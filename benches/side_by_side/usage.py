"""What processes cost, from Linux's own books."""

import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Usage:
    """Seconds of CPU of some servers, and bytes written to the disk, whoever wrote them."""

    cpu: float
    written: int


def cpu(servers):
    """Seconds of CPU of these servers with all their children, those included that have ended."""
    seconds = 0.0
    for pid in family([server.process.pid for server in servers]):
        try:
            seconds += sum(map(int, _stat(pid)[11:15])) / TICKS
        except (FileNotFoundError, ProcessLookupError):
            continue  # it has just ended; its parent's books have it
    return seconds


def written():
    """Bytes that the disk of temporary files has taken so far.

    The books of the processes would say what each of them wrote, but Linux books a whole piece of a file, up to
    megabytes, for each page of it that changes (`write_bytes` in proc(5)).
    """
    os.sync()
    device = os.stat(tempfile.gettempdir()).st_dev
    books = Path(f"/sys/dev/block/{os.major(device)}:{os.minor(device)}/stat")
    if not books.exists():
        raise SystemExit(f"{tempfile.gettempdir()} is on no disk of its own; set TMPDIR to a folder that is")
    return int(books.read_text().split()[6]) * 512


def family(pids):
    """The processes and all that descend from them."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int(_stat(entry.name)[1])
            except (FileNotFoundError, ProcessLookupError):
                continue
    found = set(pids)
    while more := {pid for pid, parent in parents.items() if parent in found and pid not in found}:
        found |= more
    return found


def _stat(pid):
    """The fields after the name, which may hold blanks: state, parent, …"""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def memory(server):
    """Resident MiB: now, and at the most so far."""
    lines = Path(f"/proc/{server.process.pid}/status").read_text().splitlines()
    status = dict(line.split(":", 1) for line in lines)
    return tuple(int(status[name].split()[0]) / 1024 for name in ("VmRSS", "VmHWM"))


class Watch:
    """Watches groups of servers, the processes that this one starts and waits for, and the machine.

    `cost` is that of all the servers together; `cores` says how many CPU cores each group kept busy.
    """

    def __init__(self, **groups):
        self._groups = groups

    def __enter__(self):
        self._written = -written()
        self._before = self._now()
        return self

    def __exit__(self, *_):
        self._after = self._now()
        self._written += written()

    @property
    def cost(self):
        spent = (self._after[0][name] - self._before[0][name] for name in self._groups)
        return Usage(sum(spent), self._written)

    @property
    def cores(self):
        before, after = self._before, self._after
        seconds = after[3] - before[3]
        busy = {name: (after[0][name] - before[0][name]) / seconds for name in self._groups}
        return {**busy, "load": (after[1] - before[1]) / seconds, "idle": (after[2] - before[2]) / seconds}

    def _now(self):
        groups = {name: cpu(servers) for name, servers in self._groups.items()}
        children = os.times()
        machine = Path("/proc/stat").read_text().split(maxsplit=6)
        idle = (int(machine[4]) + int(machine[5])) / TICKS  # waiting for the disk included
        return groups, children.children_user + children.children_system, idle, time.monotonic()
