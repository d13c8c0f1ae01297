"""A host with an umlaut, in either spelling, and others that DNS has no rule for: links, form, apps, doctor."""

import json
from urllib.parse import quote

import httpx
import pytest

from harness.browser import create_account_in, visit
from harness.loop import run
from harness.site import PASSWORD, Site
from harness.stream import Stream
from harness.web import WebForm

# The name as Prosody's configuration has it, and the one in web addresses and certificates.
HOSTS = {
    "bücher.example": "xn--bcher-kva.example",
    "xn--bcher-kva.example": "xn--bcher-kva.example",
    "my_chat.example": "my_chat.example",
    "r3--chat.example": "r3--chat.example",
}

PROSODY = """
VirtualHost "{name}"
    ssl = {{ certificate = "{certificate}", key = "{key}" }}
"""

INVITED = """
[hosts."{name}"]
http_external_url = "{url}/"
usernames = "any"

[hosts."{name}".xmpp]
address = "127.0.0.1:{port}"
ca_file = "{authority}"
"""


class Named:
    """A desk and a Prosody that have one more host."""

    def __init__(self, site, name):
        self.site, self.name, self.ascii = site, name, HOSTS[name]
        self.url = f"http://{self.ascii}:{site.invited.port}"
        certificate, key = (site.certificates.directory / f"named.{ending}" for ending in ("crt", "key"))
        site.certificates.issue([f"DNS:{self.ascii}"], certificate, key)
        site.prosody.more_hosts = PROSODY.format(name=name, certificate=certificate, key=key)
        self.whole = site.invited.config.read_text()
        self.know_as(name)

    def know_as(self, name):
        """Writes the host into invited's configuration under this name; its links have an umlaut if it has one."""
        typed = self.url.replace("xn--bcher-kva", "bücher")
        authority = self.site.certificates.authority
        host = INVITED.format(name=name, url=typed, port=self.site.prosody.port, authority=authority)
        self.site.invited.config.write_text(self.whole + host)

    def invite(self, *options):
        return json.loads(self.site.invited.output_of("invite", "create", self.name, *options, "--json"))

    def accounts(self):
        folder = "".join(
            c if c.isascii() and c.isalnum() else "".join(f"%{b:02x}" for b in c.encode()) for c in self.name
        )
        return {file.stem for file in (self.site.prosody.directory / "data" / folder / "accounts").glob("*.dat")}

    async def register(self, token, name):
        """As an app does, which knows nothing but the link."""
        authority = self.site.certificates.authority
        async with await Stream.open(self.site.prosody.port, authority, self.name) as stream:
            shown = await stream.present(token)
            return await stream.register(name, PASSWORD) if shown.accepted else shown


@pytest.fixture(scope="module", params=HOSTS)
def named(request, tmp_path_factory):
    site = Site(tmp_path_factory.mktemp("named"))
    named = Named(site, request.param)
    with site:
        yield named


def test_links_are_ascii_and_name_the_host_as_the_chat_server_does(named):
    invite = named.invite("--username", "élan")
    assert invite["url"].startswith(f"{named.url}/invite?")
    assert invite["uri"].startswith(f"xmpp:%C3%A9lan@{quote(named.name)}?register;preauth=")
    assert invite["uri"].isascii()


def test_headers_are_ascii(named):
    key = named.site.invited.output_of("key", "create", named.name)
    base, host = named.site.invited.url, {"Host": named.ascii}
    made = httpx.post(f"{base}/invites_api", headers={**host, "Authorization": f"Bearer {key}"})
    assert made.status_code == 201
    page = httpx.get(f"{base}/invite?{named.invite()['token']}", headers=host)
    assert page.status_code == 200
    assert f"<xmpp:{quote(named.name)}?register;" in page.headers["link"]
    for answer in (made, page):
        assert all(value.isascii() for _, value in answer.headers.raw), answer.headers


def test_a_person_with_a_browser_gets_an_account(named, browser):
    url = named.invite()["url"].replace("xn--bcher-kva", "bücher")
    with visit(browser) as page:
        page.goto(url)
        assert page.title()
        create_account_in(page, f"browser@{named.name}", PASSWORD)
        page.get_by_text(f"browser@{named.name}").first.wait_for()
    assert "browser" in named.accounts()


def test_an_app_gets_an_account(named):
    token = named.invite()["token"]
    assert run(named.register(token, "app")).accepted
    assert "app" in named.accounts()
    assert not run(named.register(token, "second")).accepted


def test_doctor_is_content(named):
    told = named.site.invited.run("doctor").stdout
    assert f"{named.name}: the XMPP server at 127.0.0.1:{named.site.prosody.port} takes invite tokens" in told


@pytest.mark.parametrize("named", [name for name in HOSTS if HOSTS[name] == "xn--bcher-kva.example"], indirect=True)
def test_a_host_in_the_other_spelling_is_named_by_doctor_and_keeps_its_invites(named):
    token = named.invite()["token"]
    [other] = {"bücher.example", "xn--bcher-kva.example"} - {named.name}
    named.know_as(other)
    named.site.invited.stop()
    named.site.invited.start()
    try:
        told = named.site.invited.run("doctor")
        assert told.returncode == 1
        assert f'write [hosts."{named.name}"] in place of [hosts."{other}"]' in told.stdout + told.stderr
        assert json.loads(named.site.invited.output_of("invite", "show", named.name, token, "--json"))["uses"] == 0

        async def form():
            async with WebForm(named.site.invited) as form:
                form._browser.headers["Host"] = named.ascii
                await form.present(token)
                return await form.register("theo", PASSWORD)

        answer = run(form())
        assert answer.status == 503
        assert "could not reach the chat server" in answer.text
    finally:
        named.know_as(named.name)
        named.site.invited.stop()
        named.site.invited.start()
    assert run(named.register(token, "after")).accepted
