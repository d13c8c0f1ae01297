"""What a newcomer does: one command, the line that it prints, a page in a browser, a chat."""

import os
import re
import shlex
import subprocess
from contextlib import ExitStack
from types import SimpleNamespace

import httpx
import pytest

from harness import chat
from harness.browser import create_account_in, visit
from harness.invited import BINARY
from harness.listening import addresses_of_group, occupied
from harness.loop import run
from harness.process import Server
from harness.prosody import REPOSITORY
from harness.site import PASSWORD
from harness.waiting import free_port, wait_until

ENVIRONMENT = {**os.environ, "INVITED_BIN": str(BINARY)}
USUAL_PORTS = 5222, 5280, 5281, 8080, 15222, 15282
"""Those of a Prosody beside it, and those that it would take itself."""


class Checkout:
    """A copy of the repository for what is written beside the script when nothing is given."""

    def __init__(self, folder):
        self.folder = folder
        (folder / "scripts").mkdir(parents=True)
        for name in ("scripts/quickstart", "scripts/install-needed", "prosody"):
            (folder / name).symlink_to(REPOSITORY / name)
        self.script = folder / "scripts" / "quickstart"
        self.stack = ExitStack()
        self.outputs = 0

    def start(self, *options):
        """Starts it; `told` waits for what it has to say."""
        self.outputs += 1
        output = self.folder / f"quickstart-{self.outputs}.out"
        server = Server("quickstart", [str(self.script), *options], output, ENVIRONMENT)
        server.spawn()
        self.stack.callback(server.stop)
        return server

    def refused(self, *options):
        """What it says when it does not start."""
        done = subprocess.run(
            [self.script, *options],
            env=ENVIRONMENT,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode not in (0, None), done.stdout
        return done.stderr


@pytest.fixture
def checkout(tmp_path):
    checkout = Checkout(tmp_path / "checkout")
    with checkout.stack:
        yield checkout


def test_the_curl_line_of_quickstart_leads_to_an_account_that_chats(checkout, browser):
    quickstart = _told(checkout.start())
    people = [("ada", PASSWORD), ("bob", PASSWORD)]
    for name, password in people:
        with visit(browser) as page:
            assert page.goto(_location(quickstart.curl)).status == 200
            create_account_in(page, name, password)
            page.get_by_text(f"{name}@localhost").first.wait_for()
    run(chat.exchange_a_message(quickstart, *people))


def test_two_at_once_start_with_nothing_given_beside_others_and_listen_on_loopback_only(checkout):
    with occupied(*USUAL_PORTS):
        servers = [checkout.start(), checkout.start()]
        told = [_told(server) for server in servers]
    listening = [addresses_of_group(server.process.pid) for server in servers]
    for addresses in listening:
        assert len(addresses) == 3, addresses
        assert {address for address, _ in addresses} == {"127.0.0.1"}
    for line in (quickstart.curl for quickstart in told):
        assert httpx.get(_location(line)).status_code == 200
    assert len({quickstart.folder for quickstart in told}) == 2


def test_a_later_start_goes_on_with_the_first_where_links_lead_to(checkout):
    with occupied(*USUAL_PORTS):
        first = checkout.start()
        before = _told(first)
        link = _location(before.curl)
        first.stop()
    # The ports that it would take by itself may be free by now.
    after = _told(checkout.start())
    assert (after.folder, after.port) == (before.folder, before.port)
    assert httpx.get(link).status_code == 200


def test_a_port_of_a_former_start_that_is_taken_is_replaced_with_a_word_about_links(checkout):
    first = checkout.start()
    link = httpx.URL(_location(_told(first).curl))
    first.stop()
    with occupied(link.port):
        second = checkout.start()
        assert httpx.URL(_location(_told(second).curl)).port != link.port
    assert f"Something else listens on port {link.port} now, so links" in second.output.read_text()


@pytest.mark.parametrize("option", ["--http-port", "--xmpp-port", "--bridge-port"])
def test_a_port_that_is_given_and_taken_is_refused(checkout, option):
    port = free_port()
    with occupied(port):
        assert f"Something listens on port {port} already" in checkout.refused(option, str(port))


def test_a_folder_that_is_given_and_in_use_is_refused(checkout):
    folder = str(checkout.folder / "mine")
    _told(checkout.start("--data", folder))
    assert f"A quickstart runs in {folder} already" in checkout.refused("--data", folder)


def test_a_failed_start_shows_why(checkout):
    database = checkout.folder / "target" / "quickstart" / "invited" / "invited.sqlite"
    database.parent.mkdir(parents=True)
    database.write_text("this is no database, and long enough to be looked at\n" * 100)
    told = checkout.refused()
    assert "invited did not start." in told
    assert "file is not a database" in told


def _location(line):
    """Runs the printed line as a shell would, and reads the answer's head."""
    command = [*shlex.split(line), "--silent", "--output", "/dev/null", "--dump-header", "-"]
    head = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout
    assert re.match(r"HTTP/1.1 201 ", head), head
    return re.search(r"(?im)^location: (\S+)", head)[1]


def _told(server):
    """What it prints once it is ready: the curl line, its folder, the chat server's port and certificate."""
    text = wait_until(lambda: server.assert_running() and _whole(server.output.read_text()), "it is ready", 120)
    return SimpleNamespace(
        curl=re.search(r"^\s*(?:\$ )?(curl .+)$", text, re.MULTILINE)[1],
        port=int(re.search(r"(?i)^.*xmpp.*?(?:localhost|127\.0\.0\.1):(\d+)", text, re.MULTILINE)[1]),
        certificates=SimpleNamespace(authority=re.search(r"(/\S+\.(?:pem|crt))\b", text)[1]),
        folder=re.search(r"Everything is in (\S+)\. ", text)[1],
    )


def _whole(text):
    return text if "Press Ctrl-C" in text else None
