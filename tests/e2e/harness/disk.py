"""A disk that fails and that loses power: `shim/disk.c`, preloaded into the daemon and the command line."""

import mmap
import os
import shutil
import struct
import subprocess
from pathlib import Path

SHIM = Path(__file__).parent.parent / "shim" / "disk.c"

LOG, DATABASE, OTHER = 1, 2, 4
"""Kinds of files; their sum names several."""

FIELDS = ("lock", "calls", "kill_at", "syncs", "fail_from", "fail_count", "fail_kinds", "failed", "delay")
FILES, PAGES, PAGE, NAME = 16, 32768, 4096, 64
SLOT = NAME + 8 + 8 + PAGES


class Disk:
    """What is below `folder`. Only programs started with `environment` notice it."""

    def __init__(self, directory, folder):
        directory.mkdir(parents=True)
        self.folder = folder
        self.shadow = directory / "shadow"
        library = directory / "disk.so"
        subprocess.run(["gcc", "-O1", "-shared", "-fPIC", "-o", library, SHIM, "-ldl"], check=True)
        control = directory / "control"
        control.write_bytes(bytes(8 * len(FIELDS) + FILES * SLOT))
        with open(control, "r+b") as file:
            self._map = mmap.mmap(file.fileno(), 0)
        folder.mkdir(mode=0o700, exist_ok=True)
        self._forget()
        self.environment = {
            "LD_PRELOAD": str(library),
            "DISK_CONTROL": str(control),
            "DISK_FOLDER": str(folder),
            "DISK_SHADOW": str(self.shadow),
        }

    def __getattr__(self, name):
        """A field of the control block, such as `calls`."""
        if name not in FIELDS:
            raise AttributeError(name)
        return struct.unpack_from("q", self._map, 8 * FIELDS.index(name))[0]

    def set(self, **fields):
        for name, value in fields.items():
            struct.pack_into("q", self._map, 8 * FIELDS.index(name), value)

    def fail_syncs(self, kinds, *, after=0, count=1):
        """After so many more syncs of such files, so many fail."""
        self.set(fail_kinds=kinds, syncs=0, failed=0, fail_count=count, fail_from=after + 1)

    def kill_at(self, call):
        """Whoever makes the `call`-th write, sync, truncation or removal from now is killed before it."""
        self.set(calls=0, kill_at=call)

    def mend(self):
        self.set(fail_from=0, kill_at=0, delay=0)

    def power_cut(self, survives=lambda name, page: False):
        """What was not synced is gone, but for pages that `survives` picks; no process may run. A page that a failed
        sync was about never survives."""
        for at in range(FILES):
            start = 8 * len(FIELDS) + at * SLOT
            name = self._map[start : start + NAME].rstrip(b"\0").decode()
            (inode,) = struct.unpack_from("q", self._map, start + NAME)
            kept, now = self.shadow / f"ino-{inode}", self.folder / name
            if not (inode and kept.exists() and now.exists() and now.stat().st_ino == inode):
                continue
            dirty = self._map[start + NAME + 16 : start + SLOT]
            with open(kept, "r+b") as disk, open(now, "rb") as cache:
                for page in range(PAGES):
                    if dirty[page] and survives(name, page):
                        cache.seek(page * PAGE)
                        disk.seek(page * PAGE)
                        disk.write(cache.read(PAGE))
        names = self.shadow / "names"
        for file in self.folder.iterdir():
            file.unlink()
        for file in names.iterdir():
            shutil.copy2(file, self.folder / file.name)
            os.chmod(self.folder / file.name, 0o600)
        self._forget()

    def _forget(self):
        """Whatever is in the folder is on the disk."""
        shutil.rmtree(self.shadow, ignore_errors=True)
        (self.shadow / "names").mkdir(parents=True)
        start = 8 * len(FIELDS)
        self._map[start : start + FILES * SLOT] = bytes(FILES * SLOT)
