"""One invite desk with its chat server: Prosody with our module, invited, and proxies on both ways between them."""

from contextlib import ExitStack

from .bridge_proxy import BridgeProxy
from .certificates import Certificates
from .invited import Invited
from .loop import run
from .prosody import Prosody
from .stream import Stream
from .waiting import free_port
from .web import WebForm
from .xmpp_proxy import XmppProxy

PASSWORD = "Nine lives, one cat"


class Site:
    """`modules`, `options` and `without` are Prosody's; `trusted` is the authority that invited believes."""

    def __init__(self, directory, *, modules=(), options=None, without=(), trusted=None, **settings):
        self.directory = directory
        self.certificates = Certificates(directory / "certificates")
        self.prosody = Prosody(
            directory / "prosody", self.certificates, modules=modules, options=options, without=without
        )
        xmpp_port = free_port()
        self.invited = Invited(
            directory / "invited",
            xmpp_port=xmpp_port,
            authority=trusted or self.certificates.authority,
            **settings,
        )
        self.bridge = BridgeProxy(free_port(), self.invited.bridge_port)
        self.xmpp = XmppProxy(xmpp_port, self.prosody.port, self.certificates)
        self.prosody.options.setdefault("invited_url", f"http://127.0.0.1:{self.bridge.port}")
        self.prosody.options.setdefault("invited_secret_file", self.invited.secret_file)

    def __enter__(self):
        try:
            self.bridge.start()
            self.xmpp.start()
            self.invited.start()
            self.prosody.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        with ExitStack() as stack:
            for part in (self.xmpp, self.bridge, self.invited, self.prosody):
                stack.callback(part.stop)

    def stream(self):
        """An encrypted stream before authentication (to be awaited)."""
        return Stream.open(self.prosody.port, self.certificates.authority)

    def form(self):
        """The registration page (to be awaited)."""
        return WebForm.open(self.invited)

    async def attempt(self, token, name, password=PASSWORD):
        """Presents the token and, if it is taken, registers: what the server said last."""
        async with await self.stream() as stream:
            shown = await stream.present(token)
            return await stream.register(name, password) if shown.accepted else shown

    async def attempt_on_page(self, token, name, password=PASSWORD):
        """The same with the form of the registration page."""
        async with await self.form() as form:
            shown = await form.present(token)
            return await form.register(name, password) if shown.accepted else shown

    def register(self, token, name, password=PASSWORD):
        return run(self.attempt(token, name, password))

    def register_on_page(self, token, name, password=PASSWORD):
        return run(self.attempt_on_page(token, name, password))
