"""One event loop in a thread of its own, for every client and proxy.

The tests themselves are plain functions: Playwright's synchronous interface keeps a loop running in the main
thread, so `asyncio.run` is not possible there.
"""

import asyncio
import threading

_loop = asyncio.new_event_loop()
threading.Thread(target=_loop.run_forever, name="e2e-loop", daemon=True).start()


def run(coroutine, seconds=60):
    """The result of `coroutine`."""
    return asyncio.run_coroutine_threadsafe(_with_deadline(coroutine, seconds), _loop).result()


def begin(coroutine, seconds=60):
    """A future for the result of `coroutine`, which goes on in the background."""
    return asyncio.run_coroutine_threadsafe(_with_deadline(coroutine, seconds), _loop)


def call(function, *arguments):
    """Calls `function` inside the loop's thread."""
    _loop.call_soon_threadsafe(function, *arguments)


def end():
    """Ends whatever still goes on, at the end of all tests."""
    run(_cancel_all())


async def _cancel_all():
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _with_deadline(coroutine, seconds):
    async with asyncio.timeout(seconds):
        return await coroutine
