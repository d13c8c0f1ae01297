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


PORTS = range(20_000, 32_000)
"""Below those that Linux gives to outgoing connections: one of these could take a port before its server does."""

_given = set()


def free_port():
    """A port that nobody listens on and that was not given before."""
    while True:
        port = random.choice(PORTS)
        if port not in _given and not accepts(port):
            _given.add(port)
            return port


def accepts(port):
    """Whether something listens there."""
    with socket.socket() as connection:
        connection.settimeout(1)
        return connection.connect_ex(("127.0.0.1", port)) == 0
