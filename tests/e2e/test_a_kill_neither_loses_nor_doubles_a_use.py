"""`kill -9` at each step between reservation and confirmation: the use goes with the account, or it is free.

A proxy between Prosody and invited stops the one question that matters, so that each step is met for certain.
"""

import itertools

import httpx
import pytest

from harness.loop import begin, run
from harness.site import PASSWORD
from harness.stream import StreamClosed
from harness.waiting import wait_until

SETTLED = 40
"""Seconds within which what became of a reservation must be found out."""

STEPS = [
    # operation, moment, whether the account exists by then
    ("reserve", "asked", False),
    ("reserve", "answered", False),
    ("confirm", "asked", True),
    ("confirm", "answered", True),
]

numbers = itertools.count()


@pytest.fixture
def killed(site, request):
    """The servers that a test kills; all of them run again afterwards."""
    victims = [getattr(site, name) for name in request.param.split("+")]
    yield victims
    _start(server for server in victims if not server.running)


@pytest.mark.parametrize("killed", ["invited", "prosody", "invited+prosody"], indirect=True)
@pytest.mark.parametrize(("operation", "moment", "account_exists"), STEPS)
def test_a_kill_while_an_app_registers(site, killed, operation, moment, account_exists):
    name = f"user-{next(numbers)}"
    token = site.invited.invite()["token"]
    stop = site.bridge.stop_at(operation, moment)
    attempt = begin(site.attempt(token, name))
    _kill_at(stop, killed)
    answer = _outcome(attempt)
    assert account_exists or answer is None or answer.kind == "wait", answer

    _start(killed)
    _check_settled(site, token, name, account_exists)


@pytest.mark.parametrize("killed", ["invited", "prosody"], indirect=True)
@pytest.mark.parametrize(("operation", "moment", "account_exists"), [STEPS[1], STEPS[2]])
def test_a_kill_while_the_page_registers(site, killed, operation, moment, account_exists):
    name = f"user-{next(numbers)}"
    token = site.invited.invite()["token"]
    stop = site.bridge.stop_at(operation, moment)
    attempt = begin(site.attempt_on_page(token, name))
    _kill_at(stop, killed)
    page = _outcome(attempt)
    assert account_exists or page is None or not page.accepted, page

    _start(killed)
    _check_settled(site, token, name, account_exists)


@pytest.mark.parametrize(("operation", "moment", "account_exists"), [STEPS[1], STEPS[3]])
def test_a_lost_answer_without_any_kill(site, operation, moment, account_exists):
    name = f"user-{next(numbers)}"
    token = site.invited.invite()["token"]
    stop = site.bridge.stop_at(operation, moment)
    attempt = begin(site.attempt(token, name))
    stop.wait()
    stop.cut()
    assert _outcome(attempt).accepted == account_exists
    _check_settled(site, token, name, account_exists)


def test_nobody_else_gets_a_use_whose_attempt_is_not_finished(site):
    token = site.invited.invite()["token"]
    stop = site.bridge.stop_at("reserve", "answered")
    attempt = begin(site.attempt(token, "slow"))
    stop.wait()
    assert site.invited.uses(token) == 1
    refused = site.register(token, "quick")
    assert (refused.kind, refused.condition) == ("wait", "resource-constraint")
    stop.pass_on()
    assert attempt.result().accepted
    assert site.prosody.accounts() & {"slow", "quick"} == {"slow"}


def test_somebody_who_hangs_up_while_the_use_is_reserved_loses_nothing(site):
    """Prosody may notice or not: the use is taken if the account is made."""
    token = site.invited.invite()["token"]
    stop = site.bridge.stop_at("reserve", "answered")

    async def begin_to_register():
        stream = await site.stream()
        assert (await stream.present(token)).accepted
        await stream.send_registration("gone", PASSWORD)
        return stream

    stream = run(begin_to_register())
    stop.wait()
    run(stream.close())
    stop.pass_on()
    wait_until(lambda: site.invited.uses(token) == int("gone" in site.prosody.accounts()), "it is settled", SETTLED)


def test_a_name_that_is_taken_after_the_reservation_gives_the_use_back(site):
    token = site.invited.invite()["token"]
    assert _name_taken_meanwhile(site, token, "overtaken").result().condition == "conflict"
    wait_until(lambda: site.invited.uses(token) == 0, "the use is free")
    assert site.register(token, "overtaken-again").accepted


def test_a_kill_while_a_use_is_given_back_leaves_it_free(site):
    token = site.invited.invite()["token"]
    release = site.bridge.stop_at("release", "asked")
    attempt = _name_taken_meanwhile(site, token, "overtaken-too")
    _kill_at(release, [site.invited])
    assert not attempt.result().accepted
    site.invited.start()
    wait_until(lambda: site.invited.uses(token) == 0, "the use is free", SETTLED)
    assert site.register(token, "overtaken-too-again").accepted


def _name_taken_meanwhile(site, token, name):
    """An attempt to register a name that the operator gives away before Prosody hears of the reservation."""
    stop = site.bridge.stop_at("reserve", "answered")
    attempt = begin(site.attempt(token, name))
    stop.wait()
    site.prosody.add_account(name, PASSWORD)
    stop.pass_on()
    return attempt


def _kill_at(stop, victims):
    stop.wait()
    for server in victims:
        server.kill()
    stop.cut()


def _outcome(attempt):
    """What the client was told, or nothing if the connection broke."""
    try:
        return attempt.result()
    except (StreamClosed, OSError, httpx.TransportError):
        return None


def _start(victims):
    for server in victims:
        server.start()


def _check_settled(site, token, name, account_exists):
    assert (name in site.prosody.accounts()) == account_exists
    uses = 1 if account_exists else 0
    wait_until(lambda: site.invited.uses(token) == uses, f"the invite counts {uses} uses", SETTLED)
    assert site.register(token, f"{name}-again").accepted != account_exists
    assert site.invited.uses(token) == 1
