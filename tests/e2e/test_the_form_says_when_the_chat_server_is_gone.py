"""When the registration page cannot make the account it says so, and the invite is as good as before."""

import pytest

from harness.certificates import Certificates
from harness.loop import begin
from harness.site import Site
from harness.xmpp_proxy import CLIENT, SERVER

UNREACHABLE = "could not reach"

BEFORE_THE_REQUEST = [
    # who says what when the connection is cut
    (CLIENT, "etherx.jabber.org"),
    (SERVER, "stream:features"),
    (CLIENT, "starttls"),
    (SERVER, "ibr-token"),
    (CLIENT, "urn:xmpp:pars:0"),
]


@pytest.mark.parametrize(("side", "marker"), BEFORE_THE_REQUEST)
def test_a_stream_that_is_cut_before_the_request_uses_nothing_up(site, side, marker):
    token = site.invited.invite()["token"]
    name = f"cut-{BEFORE_THE_REQUEST.index((side, marker))}"
    site.xmpp.cut_when(side, marker)
    assert_unreachable(site.register_on_page(token, name))
    assert site.xmpp.was_cut.is_set()
    assert_nothing_happened(site, token, name)
    assert site.register_on_page(token, name).accepted


def test_a_request_that_never_arrives_uses_nothing_up(site):
    token = site.invited.invite()["token"]
    site.xmpp.cut_when(CLIENT, "jabber:iq:register")
    page = site.register_on_page(token, "never-arrived")
    assert (page.accepted, page.status) == (False, 503), page
    assert_nothing_happened(site, token, "never-arrived")
    assert site.register_on_page(token, "never-arrived").accepted


def test_an_answer_that_never_arrives_counts_once(site):
    token = site.invited.invite()["token"]
    reserved = site.bridge.stop_at("reserve", "answered")
    attempt = begin(site.attempt_on_page(token, "unheard"))
    reserved.wait()
    site.xmpp.cut_when(SERVER, "<iq")
    reserved.pass_on()
    page = attempt.result()
    assert (page.accepted, page.status) == (False, 503), page
    assert "unheard" in site.prosody.accounts()
    assert site.invited.uses(token) == 1
    assert not site.register_on_page(token, "unheard-again").accepted


def test_a_chat_server_that_is_down_uses_nothing_up(site):
    token = site.invited.invite()["token"]
    site.prosody.stop()
    assert_unreachable(site.register_on_page(token, "patient"))
    assert_nothing_happened(site, token, "patient")
    site.prosody.start()
    assert site.register_on_page(token, "patient").accepted


def test_nothing_is_sent_to_a_server_with_a_wrong_certificate(tmp_path):
    others = Certificates(tmp_path / "others")
    with Site(tmp_path / "site", trusted=others.authority) as site:
        token = site.invited.invite()["token"]
        site.xmpp.cut_when(CLIENT, "urn:xmpp:pars:0")
        assert_unreachable(site.register_on_page(token, "trusting"))
        assert not site.xmpp.was_cut.is_set(), "the token was sent"
        assert_nothing_happened(site, token, "trusting")


def assert_unreachable(page):
    assert not page.accepted, page
    assert page.status == 503, page
    assert UNREACHABLE in page.text.lower(), page


def assert_nothing_happened(site, token, name):
    assert name not in site.prosody.accounts()
    assert site.invited.uses(token) == 0
