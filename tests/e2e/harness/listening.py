"""Who listens where, as the kernel knows it."""

import os
import socket
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

LISTENING = "0A"


def addresses_of_group(group):
    """The addresses and ports where processes of this process group listen."""
    processes = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    sockets = {name for process in processes if _group(process) == group for name in _open_files(process)}
    return {where for where, inode in _listening() if f"socket:[{inode}]" in sockets}


@contextmanager
def occupied(*ports):
    """Something listens on each of these, be it us or whoever did so before."""
    with ExitStack() as sockets:
        for port in ports:
            with suppress(OSError):
                sockets.enter_context(socket.create_server(("127.0.0.1", port)))
        yield


def _group(process):
    with suppress(ProcessLookupError):
        return os.getpgid(process)


def _open_files(process):
    names = []
    with suppress(OSError):
        for file in os.scandir(f"/proc/{process}/fd"):
            with suppress(OSError):
                names.append(os.readlink(file.path))
    return names


def _listening():
    for table, family in (("tcp", socket.AF_INET), ("tcp6", socket.AF_INET6)):
        with suppress(FileNotFoundError):
            for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
                _, local, _, state, *rest = line.split()
                if state == LISTENING:
                    address, port = local.split(":")
                    # Words of four bytes in the order of the machine.
                    words = [bytes.fromhex(address[at : at + 8])[::-1] for at in range(0, len(address), 8)]
                    yield (socket.inet_ntop(family, b"".join(words)), int(port, 16)), rest[5]
