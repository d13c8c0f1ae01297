"""Stands between Prosody and invited and stops or garbles one question or its answer where a test wants it."""

import asyncio
import re
import threading
from contextlib import suppress

from .loop import call, run


class Stop:
    """One coming question of one operation, held until the test has decided about it.

    A question about a reservation that was made before is not meant: Prosody repeats those of an earlier test.
    """

    def __init__(self, operation, moment):
        self.operation = operation
        self.moment = moment
        self.made_since = set()
        self.reached = threading.Event()
        self._decided = asyncio.Event()
        self._cut = False
        self.instead = None

    def wait(self, seconds=15):
        assert self.reached.wait(seconds), f"{self.operation} was not {self.moment} within {seconds} s"

    def pass_on(self):
        call(self._decided.set)

    def cut(self):
        """Breaks the connection to Prosody without a word."""
        self._cut = True
        call(self._decided.set)

    def garble(self, body, status="200 OK"):
        """Lets something else come in place of the answer, now or as soon as there is one."""
        self.instead = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()
        self.pass_on()

    async def hold(self):
        self.reached.set()
        await self._decided.wait()
        if self._cut:
            raise ConnectionAbortedError(f"{self.operation} cut when {self.moment}")


class BridgeProxy:
    """Every question passes, except where a `Stop` waits for it.

    "asked" is the moment before invited hears of the question, "answered" the moment after it has answered
    and before Prosody hears of that. `connections` and `questions` count those of Prosody.
    """

    def __init__(self, port, upstream):
        self.port = port
        self._upstream = upstream
        self._stops = []
        self._server = None
        self.connections = self.questions = 0

    def start(self):
        self._server = run(asyncio.start_server(self._serve, "127.0.0.1", self.port))

    def stop(self):
        if self._server:
            call(self._server.close)

    def stop_at(self, operation, moment):
        assert moment in ("asked", "answered"), moment
        stop = Stop(operation, moment)
        self._stops.append(stop)
        return stop

    async def _serve(self, reader, writer):
        self.connections += 1
        try:
            while request := await _message(reader):
                self.questions += 1
                operation = re.match(rb"POST /bridge/v1/(\w+) ", request)[1].decode()
                about = _reservation(request)
                await self._hold(operation, about, "asked")
                answer = await self._ask(request)
                if operation in ("reserve", "claim_contact"):
                    for stop in self._stops:
                        stop.made_since.add(_reservation(answer))
                stop = await self._hold(operation, about, "answered")
                writer.write(stop and stop.instead or answer)
                await writer.drain()
        except OSError:
            writer.transport.abort()
        finally:
            writer.close()

    async def _ask(self, request):
        reader, writer = await asyncio.open_connection("127.0.0.1", self._upstream)
        try:
            writer.write(request)
            return await _message(reader) or _no_answer()
        finally:
            writer.close()

    async def _hold(self, operation, about, moment):
        for stop in self._stops:
            is_meant = about is None or about in stop.made_since
            if is_meant and (stop.operation, stop.moment) == (operation, moment):
                self._stops.remove(stop)
                await stop.hold()
                return stop
        return None


def _reservation(message):
    found = re.search(rb'"reservation": *"([^"]+)"', message)
    return found and found[1]


async def _message(reader):
    """One HTTP message with its body, or nothing at the end of the connection."""
    with suppress(asyncio.IncompleteReadError):
        head = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
        assert length, f"a message without Content-Length: {head}"
        return head + await reader.readexactly(int(length[1]))
    return b""


def _no_answer():
    raise ConnectionResetError("invited closed the connection without an answer")
