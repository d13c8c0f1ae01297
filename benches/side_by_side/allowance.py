"""Processes that get only a part of a core, as if each had a small machine of its own."""

import os
from contextlib import contextmanager
from pathlib import Path

PERIOD = 10_000
"""Microseconds: short, so that nobody waits long for the next part."""

VERSION_1 = Path("/sys/fs/cgroup/cpu")
VERSION_2 = Path("/sys/fs/cgroup")


@contextmanager
def part_of_a_core(process, cores):
    """All threads of `process` together get so many cores until the end of this."""
    quota = int(PERIOD * cores)
    if (VERSION_1 / "cgroup.procs").exists():
        group = VERSION_1 / f"invited-bench-{process.pid}"
        settings = {"cpu.cfs_period_us": PERIOD, "cpu.cfs_quota_us": quota}
    else:
        (VERSION_2 / "cgroup.subtree_control").write_text("+cpu")
        group = VERSION_2 / f"invited-bench-{process.pid}"
        settings = {"cpu.max": f"{quota} {PERIOD}"}
    outside = Path(group.parent / "cgroup.procs")
    group.mkdir()
    try:
        for name, value in settings.items():
            (group / name).write_text(str(value))
        (group / "cgroup.procs").write_text(str(process.pid))
        yield
    finally:
        if process.poll() is None:
            outside.write_text(str(process.pid))
        os.rmdir(group)
