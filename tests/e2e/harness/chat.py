"""slixmpp as an independent witness: it registers with a token, signs in and chats."""

import asyncio
from contextlib import asynccontextmanager
from xml.etree import ElementTree

import slixmpp
from slixmpp.exceptions import IqError

COMMANDS = "http://jabber.org/protocol/commands"
FORMS = "{jabber:x:data}"


class SignInFailed(Exception):
    pass


class Step:
    """What the server answers to one step of a command: its form, if any, has a type and fields."""

    def __init__(self, command):
        self.status = command.get("status")
        self.session = command.get("sessionid")
        form = command.find(f"{FORMS}x")
        self.form = form.get("type") if form is not None else None
        fields = command.iter(f"{FORMS}field")
        self.fields = {field.get("var"): field.findtext(f"{FORMS}value") for field in fields}


class Chat(slixmpp.ClientXMPP):
    """A client of `name` at localhost, or of a full address.

    It accepts only an encrypted stream with a certificate of the given authority.
    """

    def __init__(self, server, name, password):
        super().__init__(name if "@" in name else f"{name}@localhost", password)
        self._port = server.port
        self.ca_certs = server.certificates.authority
        self.enable_direct_tls = False
        self.enable_plaintext = False
        self.auto_subscribe = False
        self.auto_authorize = None
        self.started = asyncio.get_running_loop().create_future()
        self.messages = asyncio.Queue()
        self.presences = asyncio.Queue()
        self.add_event_handler("session_start", lambda _: self._settle(None))
        self.add_event_handler("failed_all_auth", lambda _: self._settle(SignInFailed("refused")))
        self.add_event_handler("connection_failed", lambda reason: self._settle(SignInFailed(str(reason))))
        self.add_event_handler("ssl_invalid_chain", lambda error: self._settle(error))
        self.add_event_handler("message", self._keep_message)
        self.add_event_handler("presence_subscribe", self._keep_presence)
        self.add_event_handler("presence_subscribed", self._keep_presence)

    def _keep_message(self, message):
        self.messages.put_nowait((message["from"].bare, message["body"]))

    def _keep_presence(self, presence):
        self.presences.put_nowait((presence["type"], presence["from"].bare))

    def _settle(self, problem):
        if self.started.done():
            return
        if problem:
            self.started.set_exception(problem)
        else:
            self.started.set_result(None)

    async def sign_in(self):
        self.connect("127.0.0.1", self._port)
        await self.started
        mechanism = self.plugin["feature_mechanisms"].mech.name
        assert mechanism.startswith("SCRAM-"), mechanism
        assert self.transport.get_extra_info("cipher"), "the stream is not encrypted"

    async def command(self, node, action="execute", session=None, submit=None):
        """One step of an ad-hoc command on the server, with the fields of a form if there is one to submit."""
        iq = self.make_iq_set(ito="localhost")
        attributes = {"node": node, "action": action, **({"sessionid": session} if session else {})}
        command = ElementTree.Element(f"{{{COMMANDS}}}command", attributes)
        if submit is not None:
            form = ElementTree.SubElement(command, f"{FORMS}x", {"type": "submit"})
            for name, value in submit.items():
                field = ElementTree.SubElement(form, f"{FORMS}field", {"var": name})
                ElementTree.SubElement(field, f"{FORMS}value").text = value
        iq.append(command)
        answer = await iq.send(timeout=10)
        return Step(answer.xml.find(f"{{{COMMANDS}}}command"))

    async def pushed(self, contact, subscription):
        """Returns once the server has said that `contact` has this subscription."""
        while self.client_roster[contact]["subscription"] != subscription:
            changed = asyncio.Event()
            self.add_event_handler("roster_update", lambda _, changed=changed: changed.set(), disposable=True)
            await changed.wait()

    async def ping(self):
        """Returns once the server has worked on everything that was sent before."""
        iq = self.make_iq_get(ito="localhost")
        iq.append(ElementTree.Element("{urn:xmpp:ping}ping"))
        await iq.send(timeout=10)

    def subscribe(self, to, token=None):
        """Asks for somebody's presence, with a contact token (XEP-0379) if there is one."""
        request = self.make_presence(pto=to, ptype="subscribe")
        if token:
            request.append(ElementTree.Element("{urn:xmpp:pars:0}preauth", {"token": token}))
        request.send()


@asynccontextmanager
async def signed_in(server, name, password):
    client = Chat(server, name, password)
    try:
        await client.sign_in()
        await client.get_roster()
        client.send_presence()
        yield client
    finally:
        await client.disconnect(wait=0.3)


async def register(server, token, name, password):
    """Registers with `token` over STARTTLS and signs in on the same stream; raises IqError if refused."""
    client = Chat(server, name, password)
    client.register_plugin("xep_0077")
    client.plugin["xep_0077"].force_registration = False
    client._always_send_everything = True  # otherwise slixmpp keeps IQs back until the session is there

    async def present_and_register(_):
        try:
            preauth = client.make_iq_set(ito="localhost")
            preauth.append(ElementTree.Element("{urn:xmpp:pars:0}preauth", {"token": token}))
            await preauth.send(timeout=10)
            form = client.make_iq_set(ito="localhost")
            form["register"]["username"] = name
            form["register"]["password"] = password
            await form.send(timeout=10)
        except IqError as refusal:
            client._settle(refusal)

    client.add_event_handler("register", present_and_register)
    try:
        await client.sign_in()
    finally:
        await client.disconnect(wait=0.3)


async def exchange_a_message(server, first, second):
    """Proves that two accounts, each `(name, password)`, sign in and write to each other."""
    async with signed_in(server, *first) as one, signed_in(server, *second) as two:
        one.send_message(mto=two.boundjid.full, mbody="hello", mtype="chat")
        assert await asyncio.wait_for(two.messages.get(), 10) == (one.boundjid.bare, "hello")
        two.send_message(mto=one.boundjid.full, mbody="welcome", mtype="chat")
        assert await asyncio.wait_for(one.messages.get(), 10) == (two.boundjid.bare, "welcome")
