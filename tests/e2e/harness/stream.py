"""A slim XMPP client that registers and does nothing else, so that fifty of them are cheap."""

import asyncio
import ssl
from dataclasses import dataclass
from xml.etree import ElementTree
from xml.sax.saxutils import escape, quoteattr

STREAMS = "{http://etherx.jabber.org/streams}"
STANZAS = "{urn:ietf:params:xml:ns:xmpp-stanzas}"
TLS = "{urn:ietf:params:xml:ns:xmpp-tls}"


class StreamClosed(Exception):
    """The server ended the stream or the connection."""


@dataclass(frozen=True)
class Answer:
    """What the server said to an IQ: an empty `kind` means that it agreed."""

    kind: str = ""
    condition: str = ""
    text: str = ""

    @property
    def accepted(self):
        return not self.kind

    def __str__(self):
        return f"{self.kind}/{self.condition}: {self.text}" if self.kind else "accepted"


class Stream:
    """A client stream over STARTTLS, before authentication."""

    def __init__(self, reader, writer, host):
        self._reader = reader
        self._writer = writer
        self._host = host
        self._requests = 0
        self._parser = None
        self._stanzas = []
        self.features = None

    @classmethod
    async def open(cls, port, authority, host="localhost"):
        stream = cls(*await asyncio.open_connection("127.0.0.1", port), host)
        await stream._greet()
        await stream._send(f"<starttls xmlns='{TLS[1:-1]}'/>")
        answer = await stream._next()
        assert answer.tag == f"{TLS}proceed", answer.tag
        name = host.encode("idna").decode()
        await stream._writer.start_tls(ssl.create_default_context(cafile=authority), server_hostname=name)
        await stream._greet()
        return stream

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        await self.close()

    async def present(self, token):
        """XEP-0445: shows the token."""
        await self._send_iq(f"<preauth xmlns='urn:xmpp:pars:0' token={quoteattr(token)}/>")
        return await self._answer()

    async def register(self, name, password):
        """XEP-0077: asks for the account."""
        await self.send_registration(name, password)
        return await self._answer()

    async def send_registration(self, name, password):
        """The same without waiting for the answer."""
        await self._send_iq(
            f"<query xmlns='jabber:iq:register'><username>{escape(name)}</username>"
            f"<password>{escape(password)}</password></query>"
        )

    async def close(self):
        """Hangs up without a word."""
        self._writer.transport.abort()

    async def _send_iq(self, payload):
        self._requests += 1
        await self._send(f"<iq type='set' id='r{self._requests}' to='{self._host}'>{payload}</iq>")

    async def _answer(self):
        answer = await self._next()
        assert answer.get("id") == f"r{self._requests}", ElementTree.tostring(answer)
        if answer.get("type") == "result":
            return Answer()
        error = answer.find("{jabber:client}error")
        text = error.findtext(f"{STANZAS}text", "")
        condition = next(child.tag for child in error if child.tag != f"{STANZAS}text")
        return Answer(error.get("type"), condition.removeprefix(STANZAS), text)

    async def _greet(self):
        self._parser = ElementTree.XMLPullParser(["start", "end"])
        self._depth = 0
        await self._send(
            f"<?xml version='1.0'?><stream:stream to='{self._host}' version='1.0' xmlns='jabber:client' "
            "xmlns:stream='http://etherx.jabber.org/streams'>"
        )
        self.features = await self._next()
        assert self.features.tag == f"{STREAMS}features", self.features.tag

    async def _send(self, text):
        self._writer.write(text.encode())
        await self._writer.drain()

    async def _next(self):
        """The next child of the stream."""
        while not self._stanzas:
            data = await self._reader.read(65536)
            if not data:
                raise StreamClosed
            self._parser.feed(data)
            for event, element in self._parser.read_events():
                self._depth += 1 if event == "start" else -1
                if event == "end" and self._depth == 1:
                    self._stanzas.append(element)
                elif event == "end" and self._depth == 0:
                    raise StreamClosed
        return self._stanzas.pop(0)
