"""Whatever is wrong with a name or a password, the next attempt with the same token may succeed."""

import pytest

from harness.loop import run
from harness.site import PASSWORD

WRONG = [
    ("taken", PASSWORD, "conflict"),
    ("good", "short", "not-acceptable"),
    ("two words", PASSWORD, "not-acceptable"),
    ("", PASSWORD, "not-acceptable"),
    ("good", "", "not-acceptable"),
    # U+E000 is forbidden by SASLprep: Prosody would find out only after the reservation.
    ("good", f"{PASSWORD}\ue000", "not-acceptable"),
]


@pytest.fixture(scope="module", autouse=True)
def taken(site):
    site.prosody.add_account("taken", PASSWORD)


def test_wrong_entries_in_an_app_leave_the_invite_good(site):
    token = site.invited.invite()["token"]

    async def many_typos():
        async with await site.stream() as stream:
            assert (await stream.present(token)).accepted
            for name, password, condition in WRONG:
                answer = await stream.register(name, password)
                assert answer.condition == condition, (name, str(answer))
            return await stream.register("good-at-last", PASSWORD)

    assert run(many_typos()).accepted
    assert site.invited.uses(token) == 1


@pytest.mark.parametrize(("name", "password", "condition"), WRONG)
def test_one_wrong_entry_and_then_another_stream(site, name, password, condition):
    token = site.invited.invite()["token"]
    assert site.register(token, name, password).condition == condition
    assert site.invited.uses(token) == 0
    assert site.register(token, f"then-{WRONG.index((name, password, condition))}").accepted


def test_wrong_entries_on_the_page_leave_the_invite_good(site):
    token = site.invited.invite()["token"]

    async def many_typos():
        async with await site.form() as form:
            assert (await form.present(token)).accepted
            for name, password, _ in WRONG:
                page = await form.register(name, password)
                assert page.may_be_sent_again, (name, str(page))
                assert page.status < 500, (name, str(page))
                assert not password or password not in page.text, "the page repeats the password"
            return await form.register("page-at-last", PASSWORD)

    page = run(many_typos())
    assert page.accepted, page
    assert "page-at-last" in site.prosody.accounts()
    assert site.invited.uses(token) == 1
