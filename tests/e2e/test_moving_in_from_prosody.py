"""A Prosody with its own invite modules becomes one with ours: every link that was sent still works.

The stores are written by Prosody itself, in files and in SQLite; a few entries are edited where its tools
cannot make what its users have (an expired invite, a token that begins with a dash).
"""

import asyncio
import random
import resource
import subprocess
import time

import httpx
import pytest

from harness import chat
from harness.loop import run
from harness.moving import ODD_NAMES, Moving, quoted
from harness.postgres import Postgres
from harness.prosody import IS_13
from harness.site import PASSWORD
from harness.waiting import wait_until

MANY = 100_000


@pytest.fixture(scope="module", params=["internal", "sql"])
def moved(request, tmp_path_factory):
    moving = Moving.start(tmp_path_factory.mktemp(request.param), storage=request.param)
    try:
        moving.make_invites()
        moving.rename("minus", "-" + moving.tokens["minus"][1:])
        moving.rename("underscore", "_" + moving.tokens["underscore"][1:])
        moving.expire("expired")
        # While Prosody runs.
        moving.first = moving.bring_over()
        moving.second = moving.bring_over()
        moving.move()
        with moving.site:
            yield moving
    finally:
        moving.site.prosody.stop()


def counts(answer, what):
    (host,) = [host for host in answer["hosts"] if host["found"]]  # the other one never had anything
    return {group["what"]: group[what] for group in host["found"]}


def test_everything_is_found_and_counted(moved):
    assert counts(moved.first, "new") == {
        "API keys": 2,
        "account invites, open": 10,
        "account invites, expired": 1,
        "contact invites, open": 1,
        "contact invites with an account, open": 2 if IS_13 else 3,
        "password resets, open": 1,
    }
    (host,) = moved.first["hosts"]
    *word_false, odd_names = host["problems"]
    if not IS_13:  # in 13 nobody can make such an invite by mistake
        assert 'the word "false"' in word_false.pop()
    assert word_false == []
    assert odd_names.startswith("3 invites have a fixed name with other characters")
    assert moved.first["problems"] == []


def test_the_second_time_nothing_is_new(moved):
    assert counts(moved.second, "found") == counts(moved.first, "found")
    assert set(counts(moved.second, "new").values()) == {0}


@pytest.mark.parametrize("name", ["plain", "web", "admin", "minus", "underscore", "contact with account", "ad hoc"])
def test_a_link_that_was_sent_opens_and_gives_one_account(moved, name):
    site, token = moved.site, moved.tokens[name]
    page = httpx.get(f"{site.invited.url}/invites_page?{token}")
    assert page.status_code == 200
    assert token in page.headers["link"]
    user = "new-" + name.replace(" ", "-")
    assert site.register(token, user).accepted
    assert not site.register(token, f"{user}-2").accepted


@pytest.mark.parametrize("name", ODD_NAMES)
def test_a_fixed_name_is_that_name_and_nobody_elses(moved, name):
    site, token = moved.site, moved.tokens[name]
    assert not site.register(token, "somebody-else").accepted
    other = site.invited.invite()["token"]
    assert not site.register(other, name).accepted
    assert site.register(token, name).accepted


def test_an_expired_invite_says_so(moved):
    page = httpx.get(f"{moved.site.invited.url}/invites_page?{moved.tokens['expired']}")
    assert page.status_code == 410
    assert "expired" in page.text
    assert not moved.site.register(moved.tokens["expired"], "too-late").accepted


def test_a_reusable_invite_stays_reusable(moved):
    token = moved.tokens["reusable"]
    for name in ("group-one", "group-two", "group-three"):
        assert moved.site.register(token, name).accepted
    assert moved.site.invited.show(token)["max_uses"] is None


def test_a_contact_token_is_approved_and_makes_no_account(moved):
    site, token = moved.site, moved.tokens["contact only"]
    assert not site.register(token, "by-contact").accepted
    site.prosody.add_account("guest", PASSWORD)
    assert _presences(site, "guest", token) == {
        ("subscribed", "nora@localhost"),
        ("subscribe", "nora@localhost"),
    }
    wait_until(lambda: site.invited.uses(token) == 1, "the use is counted")


def test_a_reset_link_sets_the_password_of_its_account_only(moved):
    site, token = moved.site, moved.tokens["reset"]
    assert not site.register(token, "boss", "Another password 1").accepted
    assert site.register(token, "theo", "Another password 1").accepted
    run(_sign_in(site, "theo", "Another password 1"))


def test_keys_go_on_making_invites(moved):
    for key in moved.keys:
        answer = httpx.get(f"{moved.site.invited.url}/invites_api", params={"key": key})
        assert answer.status_code == 201
        token = answer.headers["location"].partition("?")[2]
        assert moved.site.invited.show(token)["source"] == f"api/token/{key.partition('/')[0]}"
    listed = moved.site.invited.output_of("key", "list", "localhost").splitlines()
    assert {line.split("\t")[1] for line in listed} == {"Müller & Söhne", "<unknown>"}


def test_roles_and_groups_come_along(moved):
    shown = moved.site.invited.show(moved.tokens["admin"])
    assert (shown["roles"], shown["groups"]) == (["prosody:admin"], ["a"])


def test_a_half_written_file_is_named_with_its_line_and_the_rest_comes(tmp_path):
    moving = Moving.start(tmp_path / "half")
    try:
        for name in ("one", "two", "three"):
            moving.keep(name, text=moving.site.prosody.stock_invite())
    finally:
        moving.site.prosody.stop()
    file = moving.invite_file
    text = file.read_text()
    file.write_text(text[: text.rindex('"jid"')])
    broken = text.count("\n", 0, text.rindex("\n\t[")) + 2

    answer = moving.bring_over()
    assert counts(answer, "new") == {"account invites, open": 2}
    (problem,) = answer["hosts"][0]["problems"]
    assert problem.startswith(f"{file}:{broken}: ")


def test_rows_in_postgresql_come_like_those_in_sqlite(tmp_path):
    moving = Moving.start(tmp_path / "rows", storage="sql")
    postgres = Postgres("prosody")
    try:
        moving.make_invites()
        moving.site.prosody.stop()
        in_sqlite = moving.bring_over("--dry-run")
        postgres.start()
        columns = ["host", "user", "store", "key", "type", "value"]
        postgres.sql("create table prosody (" + ", ".join(f'"{column}" text not null' for column in columns) + ")")
        for row in moving.rows():
            values = ", ".join(quoted(row[column]) for column in columns)
            postgres.sql(f"insert into prosody values ({values})")
        config = moving.site.prosody.config
        sql = f"""sql = {{ driver = "PostgreSQL"; database = "invited"; username = "invited"; password = "x";
            host = "127.0.0.1"; port = {postgres.port} }}\n"""
        config.write_text(sql + config.read_text())
        moving.database.unlink()
        in_postgres = moving.bring_over()
    finally:
        moving.site.prosody.stop()
        postgres.stop()
    assert counts(in_postgres, "found") == counts(in_sqlite, "found")
    assert counts(in_postgres, "new") == counts(in_sqlite, "found")
    assert in_postgres["hosts"][0]["problems"] == in_sqlite["hosts"][0]["problems"]


def test_the_written_configuration_is_used_at_once(tmp_path):
    moving = Moving.start(tmp_path / "fresh", site_name="The House")
    target = tmp_path / "new" / "invited.toml"
    target.parent.mkdir()
    try:
        moving.keep("one", text=moving.site.prosody.stock_invite())
        dry = moving.bring_over("--dry-run", "--write-config", str(target))
        assert not target.exists()
        assert counts(dry, "found") == {"account invites, open": 1}
        answer = moving.bring_over("--write-config", str(target))
        assert counts(answer, "new") == {"account invites, open": 1}
        target.write_text(target.read_text() + "# looked through\n")
        again = moving.bring_over("--write-config", str(target))
        assert counts(again, "new") == {"account invites, open": 0}
    finally:
        moving.site.prosody.stop()
    assert 'site_name = "The House"' in target.read_text()
    assert target.read_text().endswith("# looked through\n")
    checked = subprocess.run(
        [moving.site.invited.argv[0], "config", "check", "--config", target], capture_output=True, text=True
    )
    assert checked.returncode == 0, checked.stderr


@pytest.mark.once
def test_a_hundred_thousand_invites_come_over_at_once(tmp_path, capsys):
    moving = Moving.start(tmp_path / "many")
    try:
        moving.keep("one", text=moving.site.prosody.stock_invite())
    finally:
        moving.site.prosody.stop()
    file = moving.invite_file
    entry = file.read_text().removeprefix("return {\n").removesuffix("};\n")
    letters = random.Random(1)
    with open(file, "w") as data:
        data.write("return {\n")
        for _ in range(MANY):
            token = "".join(letters.choices("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_", k=24))
            data.write(entry.replace(moving.tokens["one"], token))
        data.write("};\n")

    for new in (MANY, 0):
        begun, worked = time.monotonic(), _seconds_worked()
        answer = moving.bring_over()
        took, worked = time.monotonic() - begun, _seconds_worked() - worked
        with capsys.disabled():
            print(f"\n{MANY} invites, {new} of them new: {took:.1f} s, of which {worked:.1f} s of work")
        assert counts(answer, "found") == {"account invites, open": MANY}
        assert counts(answer, "new") == {"account invites, open": new}


def _seconds_worked():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


async def _sign_in(site, name, password):
    async with chat.signed_in(site.prosody, name, password) as client:
        await client.ping()


def _presences(site, name, token):
    async def subscribe():
        async with (
            chat.signed_in(site.prosody, "nora", PASSWORD),
            chat.signed_in(site.prosody, name, PASSWORD) as client,
        ):
            client.subscribe("nora@localhost", token)
            return {await asyncio.wait_for(client.presences.get(), 10) for _ in range(2)}

    return run(subscribe())
