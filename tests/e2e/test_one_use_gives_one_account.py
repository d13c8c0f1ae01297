"""An invite gives exactly the accounts that it says, however many try at once and by whatever road."""

import pytest

from harness.loop import run
from harness.race import register_all_at_once
from harness.site import PASSWORD

CROWD = 50
REFUSALS = {"not-allowed", "resource-constraint"}
"""The invite is used up, or all its uses are taken by attempts that are not finished."""
REFUSED = {403, 409, 410}


def streams(site, number):
    return [site.stream() for _ in range(number)]


def forms(site, number):
    return [site.form() for _ in range(number)]


def mixed(site, number):
    return [*streams(site, number // 2), *forms(site, number - number // 2)]


def refused_cleanly(answer):
    return answer.condition in REFUSALS if hasattr(answer, "condition") else answer.status in REFUSED


@pytest.mark.parametrize("uses", [1, 7])
@pytest.mark.parametrize("crowd", [streams, forms, mixed])
def test_fifty_at_once_get_as_many_accounts_as_the_invite_has_uses(site, crowd, uses):
    token = site.invited.invite("--max-uses", str(uses))["token"]
    name = f"{crowd.__name__}{uses}x"
    answers = run(register_all_at_once(crowd(site, CROWD), token, name), seconds=120)

    winners = {f"{name}{number}" for number, answer in enumerate(answers) if answer.accepted}
    assert len(winners) == uses, list(map(str, answers))
    assert {account for account in site.prosody.accounts() if account.startswith(name)} == winners
    assert all(answer.accepted or refused_cleanly(answer) for answer in answers), list(map(str, answers))
    assert site.invited.uses(token) == uses


def test_a_used_up_invite_is_not_even_shown_a_form(site):
    token = site.invited.invite()["token"]
    assert site.register(token, "the-only-one").accepted
    assert site.register(token, "late").condition == "item-not-found"
    assert site.register_on_page(token, "late").status == 410
    assert "late" not in site.prosody.accounts()


def test_one_stream_that_registers_three_names_gets_one_account(site):
    token = site.invited.invite()["token"]

    async def three_names():
        async with await site.stream() as stream:
            assert (await stream.present(token)).accepted
            return [await stream.register(name, PASSWORD) for name in ("first", "second", "third")]

    first, *others = run(three_names())
    assert first.accepted, first
    assert all(answer.condition in REFUSALS for answer in others), list(map(str, others))
    assert site.prosody.accounts() & {"first", "second", "third"} == {"first"}
    assert site.invited.uses(token) == 1


def test_one_stream_may_spend_several_uses_but_not_more(site):
    token = site.invited.invite("--max-uses", "2")["token"]

    async def three_names():
        async with await site.stream() as stream:
            answers = []
            for name in ("uno", "due", "tre"):
                await stream.present(token)
                answers.append(await stream.register(name, PASSWORD))
            return answers

    assert [answer.accepted for answer in run(three_names())] == [True, True, False]
    assert site.prosody.accounts() & {"uno", "due", "tre"} == {"uno", "due"}


def test_two_forms_of_one_page_sent_twice_give_one_account(site):
    """A double click, or "back" and send again."""
    token = site.invited.invite()["token"]

    async def twice():
        async with await site.form() as form:
            assert (await form.present(token)).accepted
            return [await form.register(name, PASSWORD) for name in ("click", "click-again")]

    first, second = run(twice())
    assert first.accepted, first
    assert second.status in REFUSED, second
    assert site.prosody.accounts() & {"click", "click-again"} == {"click"}
