"""People who register in their apps, several at a time, with one token each."""

import asyncio
import time

from load import Figures, percentile

from harness.site import PASSWORD
from harness.stream import Stream


class PlainStream(Stream):
    """Without TLS: its price is the same on both sides and would only hide the difference."""

    @classmethod
    async def open(cls, port):
        stream = cls(*await asyncio.open_connection("127.0.0.1", port))
        await stream._greet()
        return stream


def registrations(port, tokens, streams, name="user"):
    """Registers one account with each token, and a number behind its name. A latency is that from connecting to the
    account's confirmation."""
    return asyncio.run(_all(port, list(tokens), streams, name))


async def _all(port, tokens, streams, name):
    count = len(tokens)
    latencies = []

    async def one_after_another():
        while tokens:
            number, token = len(tokens), tokens.pop()
            start = time.perf_counter()
            async with await PlainStream.open(port) as stream:
                shown = await stream.present(token)
                assert shown.accepted, shown
                registered = await stream.register(f"{name}{number}", PASSWORD)
                assert registered.accepted, registered
            latencies.append((time.perf_counter() - start) * 1000)

    start = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for _ in range(streams):
            group.create_task(one_after_another())
    rate = count / (time.perf_counter() - start)
    return Figures(count, rate, percentile(latencies, 50), percentile(latencies, 99))
