"""Waiting for conditions, never for time."""

import random
import socket
import time


def wait_until(condition, what, seconds=15):
    """What `condition()` returns once it is true; fails with `what` when the deadline has passed."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f"waited {seconds} s in vain: {what}"
        time.sleep(0.05)


BLOCKS = range(20_000, 32_000, 500)
"""Where ports are taken from: below those that Linux gives to outgoing connections, since one of these could take a
port before its server does."""

_block = iter(())
_guards = []


def free_port():
    """A port that nobody listens on and that no other call, of this run or another one, is given."""
    while True:
        for port in _block:
            if not accepts(port):
                return port
        _take_block()


def _take_block():
    """Makes a block of ports this run's own until it ends: it keeps hold of the first port of each of its blocks."""
    global _block
    for start in random.sample(BLOCKS, len(BLOCKS)):
        guard = socket.socket()
        try:
            guard.bind(("127.0.0.1", start))
        except OSError:
            guard.close()
            continue
        _guards.append(guard)
        _block = iter(range(start + 1, start + BLOCKS.step))
        return
    raise AssertionError("other runs have taken all ports")


def accepts(port):
    """Whether something listens there."""
    with socket.socket() as connection:
        connection.settimeout(1)
        return connection.connect_ex(("127.0.0.1", port)) == 0
