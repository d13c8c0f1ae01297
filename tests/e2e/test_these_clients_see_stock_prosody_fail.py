"""The clients of these tests, against Prosody's own module: they find the defects that ours must not have.

Without this, a client that is always refused would pass every test about refusals.
"""

import asyncio
import re

import pytest

from harness import chat, node
from harness.certificates import Certificates
from harness.loop import run
from harness.prosody import Prosody
from harness.race import register_all_at_once
from harness.site import PASSWORD
from harness.stream import Stream


@pytest.fixture(scope="module")
def stock(tmp_path_factory):
    directory = tmp_path_factory.mktemp("stock")
    prosody = Prosody(directory / "prosody", Certificates(directory / "certificates"), stock=True)
    try:
        prosody.start()
        yield prosody
    finally:
        prosody.stop()


def new_token(prosody):
    return re.search(r"preauth=(\S+)", prosody.stock_invite())[1]


def test_one_stock_invite_gives_three_accounts_on_one_stream(stock):
    async def three_names(token):
        async with await Stream.open(stock.port, stock.certificates.authority) as stream:
            assert (await stream.present(token)).accepted
            return [await stream.register(name, PASSWORD) for name in ("one", "two", "three")]

    assert all(answer.accepted for answer in run(three_names(new_token(stock))))
    assert {"one", "two", "three"} <= stock.accounts()


def test_one_stock_invite_gives_fifty_accounts_on_fifty_streams(stock):
    streams = [Stream.open(stock.port, stock.certificates.authority) for _ in range(50)]
    answers = run(register_all_at_once(streams, new_token(stock), "racer"))
    assert all(answer.accepted for answer in answers), list(map(str, answers))
    assert {f"racer{number}" for number in range(50)} <= stock.accounts()


def test_a_used_stock_invite_is_refused(stock):
    async def attempt(token, name):
        async with await Stream.open(stock.port, stock.certificates.authority) as stream:
            shown = await stream.present(token)
            return await stream.register(name, PASSWORD) if shown.accepted else shown

    token = new_token(stock)
    assert run(attempt(token, "first")).accepted
    assert run(attempt(token, "second")).condition == "forbidden"
    assert "second" not in stock.accounts()


def test_slixmpp_and_xmpp_js_register_with_stock_invites_and_sign_in(stock):
    run(chat.register(stock, new_token(stock), "slixmpp", PASSWORD))
    node.sign_in(stock, "xmppjs", PASSWORD, token=new_token(stock))
    assert node.sign_in(stock, "slixmpp", PASSWORD).startswith("slixmpp@localhost/")
    run(chat.exchange_a_message(stock, ("slixmpp", PASSWORD), ("xmppjs", PASSWORD)))


def test_slixmpp_and_xmpp_js_notice_a_wrong_password(stock):
    stock.add_account("careful", PASSWORD)

    async def sign_in():
        async with asyncio.timeout(10), chat.signed_in(stock, "careful", "a wrong password"):
            pass

    with pytest.raises(chat.SignInFailed):
        run(sign_in())
    with pytest.raises(AssertionError, match="not-authorized"):
        node.sign_in(stock, "careful", "a wrong password")
