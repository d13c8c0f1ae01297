"""What processes cost, from Linux's own books under /proc."""

import os
import time
from dataclasses import dataclass
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Usage:
    """Seconds of CPU and bytes handed to the disk."""

    cpu: float
    written: int

    def __sub__(self, other):
        return Usage(self.cpu - other.cpu, self.written - other.written)


def usage(servers):
    """Of these servers with all their children, those included that have ended."""
    cpu, written = 0.0, 0
    for pid in family([server.process.pid for server in servers]):
        try:
            stat = _stat(pid)
            io = dict(line.split(": ") for line in Path(f"/proc/{pid}/io").read_text().splitlines())
        except (FileNotFoundError, ProcessLookupError):
            continue  # it has just ended; its parent's books have it
        cpu += sum(map(int, stat[11:15])) / TICKS
        written += int(io["write_bytes"])
    return Usage(cpu, written)


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
        self._before = self._now()
        return self

    def __exit__(self, *_):
        self._after = self._now()

    @property
    def cost(self):
        spent = [self._after[0][name] - self._before[0][name] for name in self._groups]
        return Usage(sum(usage.cpu for usage in spent), sum(usage.written for usage in spent))

    @property
    def cores(self):
        before, after = self._before, self._after
        seconds = after[3] - before[3]
        busy = {name: (after[0][name] - before[0][name]).cpu / seconds for name in self._groups}
        return {**busy, "load": (after[1] - before[1]) / seconds, "idle": (after[2] - before[2]) / seconds}

    def _now(self):
        groups = {name: usage(servers) for name, servers in self._groups.items()}
        children = os.times()
        machine = Path("/proc/stat").read_text().split(maxsplit=6)
        idle = (int(machine[4]) + int(machine[5])) / TICKS  # waiting for the disk included
        return groups, children.children_user + children.children_system, idle, time.monotonic()
