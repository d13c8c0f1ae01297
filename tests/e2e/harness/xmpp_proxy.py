"""Stands between invited and Prosody, reads the encrypted stream with Prosody's own key, and cuts it."""

import asyncio
import ssl
import threading

from .loop import call, run

CLIENT, SERVER = "client", "server"


class XmppProxy:
    """Passes everything on until one side says the marker of `cut_when`; then both connections are cut.

    What holds the marker is passed on or dropped, as the test wants. Works on plain text before STARTTLS and
    on the decrypted stream after it.
    """

    def __init__(self, port, upstream, certificates):
        self.port = port
        self.was_cut = threading.Event()
        self._upstream = upstream
        self._as_server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._as_server.load_cert_chain(certificates.certificate, certificates.key)
        self._as_client = ssl.create_default_context(cafile=certificates.authority)
        self._cut = None
        self._server = None

    def start(self):
        self._server = run(asyncio.start_server(self._serve, "127.0.0.1", self.port))

    def stop(self):
        if self._server:
            call(self._server.close)

    def cut_when(self, side, marker, *, pass_on=False):
        """Cuts once, at the next `marker` that `side` says."""
        self.was_cut.clear()
        self._cut = (side, marker.encode(), pass_on)

    async def _serve(self, client_reader, client_writer):
        try:
            server_reader, server_writer = await asyncio.open_connection("127.0.0.1", self._upstream)
        except OSError:
            client_writer.transport.abort()
            return
        try:
            await self._until_starttls(client_reader, client_writer, server_reader, server_writer)
            await server_writer.start_tls(self._as_client, server_hostname="localhost")
            client_writer.write(b"<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
            await client_writer.start_tls(self._as_server)
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pump(CLIENT, client_reader, server_writer))
                group.create_task(self._pump(SERVER, server_reader, client_writer))
        except* (OSError, asyncio.IncompleteReadError):
            pass  # cut by us or by one of the two
        finally:
            server_writer.transport.abort()
            client_writer.transport.abort()

    async def _until_starttls(self, client_reader, client_writer, server_reader, server_writer):
        upward = asyncio.create_task(self._pump(CLIENT, client_reader, server_writer))
        try:
            await self._pump(SERVER, server_reader, client_writer, until=b"<proceed")
        finally:
            upward.cancel()
            await asyncio.gather(upward, return_exceptions=True)

    async def _pump(self, side, reader, writer, until=None):
        seen = b""
        while data := await reader.read(65536):
            seen = seen[-100:] + data  # a marker may arrive in two parts
            if until and until in seen:
                return
            cut = self._cut and self._cut[0] == side and self._cut[1] in seen
            if not cut or self._cut[2]:
                writer.write(data)
                await writer.drain()
            if cut:
                self._cut = None
                self.was_cut.set()
                await self._let_it_arrive(writer)
                raise ConnectionAbortedError
        raise ConnectionResetError

    async def _let_it_arrive(self, writer):
        """Ends the direction properly, so that what was passed on is not lost with the cut."""
        writer.close()
        await writer.wait_closed()
