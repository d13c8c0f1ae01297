"""Which names and passwords are good is the chat server's matter, by the page as by an app; both keep the same."""

import hashlib
import hmac
import subprocess

import pytest

from harness.chat import signed_in
from harness.loop import run

# What Prosody's own preparation says, at the same moment, is the measure: none of these has an expectation here.
PASSWORDS = {
    "a capital sharp s, younger than SASLprep": "Straẞe-1234",
    "a young currency sign": "1234₺lira-x",
    "an emoji": "correct🐴horse",
    "emoji joined to a family": "we are 👩‍👩‍👧 three",
    "an emoji with a skin and a variation": "wave 👋🏽 ☎️ now",
    "only emoji": "🐴🐎🦄🐴🐎🦄🐴🐎",
    "full width": "ｐａｓｓｗｏｒｄ１２",
    "ligatures and fractions": "ﬁve ½ ² ℌ horses",
    "an unordered accent": "a\u0315\u0300\u05ae\u0062 horses",
    "a decomposed accent": "cafe\u0301 au lait",
    "a deprecated accent that becomes another": "cafe\u0340 au lait",
    "a soft hyphen": "pass\u00adword-1234",
    "only what is mapped to nothing": "\u00ad\u200d\u2060\ufeff\u00ad\u200d\u2060\ufeff",
    "a space that does not break": "two\u00a0words 12",
    "an ideographic space": "two\u3000words 12",
    "a space of no width": "two\u200bwords 12",
    "a tab": "two\twords 12",
    "a control character of Latin-1": "two\u0085words 12",
    "Arabic": "كلمة مرور طويلة",
    "Arabic with digits at the end": "كلمةمرور1234",
    "Arabic with digits inside": "كلمة1234مرور",
    "Arabic with Arabic digits at the end": "كلمةمرور١٢٣٤",
    "Arabic and Latin": "مرور password",
    "Hebrew": "סיסמה ארוכה",
    "Hebrew with a dot at the end": "סיסמה ארוכה.",
    "a mathematical alef": "password ℵ 12",
    "mathematical Arabic, younger than SASLprep": "password 𞸀𞸁 12",
    "a mark from right to left": "pass\u200fword 12",
    "an override of direction": "pass\u202eword 12",
    "a letter of private use": "password \ue000 12",
    "a tag": "password \U000e0041 12",
    "a character of no meaning": "password \ufdd0 12",
    "a replacement character": "password \ufffd 12",
    "ideographic description": "password ⿰ 12",
    "a code point that means nothing yet": "password \u0378 12",
    "an era younger than SASLprep": "password ㋿ 12",
    "a script younger than SASLprep": "𞤀𞤁𞤂𞤃𞤄𞤅𞤆𞤇",
    "a quotation in markup": '<a href="x">&amp;\'</a>',
    "blanks at both ends": "  two blanks  ",
}

NAMES = {
    "young": ("theo₺", None),
    "an emoji": ("theo🐴", None),
    "mapped": ("Straße", "strasse"),
    "full width": ("ｔｈｅｏ", "theo"),
    "Cyrillic": ("Ёлка", "ёлка"),
    "Arabic": ("كلمة", "كلمة"),
    "Arabic with a digit": ("كلمة1", None),
    "a soft hyphen": ("the\u00ados", "theos"),
    "a blank": ("two words", None),
    "escaped": (r"two\20words", r"two\20words"),
    "punctuation": ("theo!#$%*+=?^`{|}~", "theo!#$%*+=?^`{|}~"),
    "the whole address": ("whole@localhost", "whole"),
    "the whole address as people write it": ("Capital@LocalHost.", "capital"),
}


@pytest.fixture(scope="module", autouse=True)
def any_name_and_any_password(site):
    config = site.invited.config
    site.invited.stop()
    config.write_text(
        config.read_text().replace(
            '[hosts."localhost"]\n', '[hosts."localhost"]\nusernames = "any"\npassword_policy = { length = 1 }\n'
        )
    )
    site.invited.start()


def prepared(password):
    """What Prosody makes of a password before it keeps it; None if it does not keep it."""
    shown = subprocess.run(
        ["lua5.4", "-", password.encode().hex()],
        input=LUA,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    return bytes.fromhex(shown).decode() if shown else None


LUA = """
package.cpath = "/usr/lib/prosody/?.so"
local saslprep = require "util.encodings".stringprep.saslprep
local password = arg[1]:gsub("..", function (hex) return string.char(tonumber(hex, 16)) end)
print(((saslprep(password) or ""):gsub(".", function (c) return ("%02x"):format(c:byte()) end)))
"""


def is_kept(site, name, password):
    """Whether the key in the account's file is that of this password (RFC 5802 §3)."""
    account = site.prosody.account(name)
    salted = hashlib.pbkdf2_hmac("sha1", password.encode(), account["salt"].encode(), account["iteration_count"])
    client_key = hmac.digest(salted, b"Client Key", "sha1")
    return hashlib.sha1(client_key).hexdigest() == account["stored_key"]


@pytest.mark.parametrize("which", PASSWORDS)
def test_a_password_is_taken_by_page_and_app_alike_and_kept_as_the_server_prepares_it(site, which):
    password = PASSWORDS[which]
    expected = prepared(password)
    number = list(PASSWORDS).index(which)
    for way, register in (("app", site.register), ("page", site.register_on_page)):
        token, name = site.invited.invite()["token"], f"{way}-{number}"
        answer = register(token, name, password)
        assert answer.accepted == bool(expected), (way, str(answer))
        assert site.invited.uses(token) == int(bool(expected))
        if expected:
            assert is_kept(site, name, expected)
        elif way == "page":
            assert answer.status == 422
            assert answer.may_be_sent_again
            assert "this password" in answer.text.lower()
            assert register(token, name, "another 1 that is good").accepted, "the invite is still good"


@pytest.mark.parametrize("which", NAMES)
def test_a_name_is_taken_as_the_server_prepares_it(site, which):
    name, expected = NAMES[which]
    before = site.prosody.accounts()
    answer = site.register_on_page(site.invited.invite()["token"], name, "correct horse battery")
    assert answer.accepted == bool(expected), answer.text
    assert site.prosody.accounts() - before == ({expected} if expected else set())


def test_an_address_elsewhere_is_explained(site):
    token = site.invited.invite()["token"]
    answer = site.register_on_page(token, "theo@example.com", "correct horse battery")
    assert answer.status == 422
    assert "those here end with @localhost" in answer.text
    assert site.invited.uses(token) == 0


@pytest.mark.parametrize(
    ("name", "password", "fits"),
    [
        ("a", "correct horse battery staple", True),
        ("jo", "Major-Tom-to-ground", True),
        ("tom", "Major-Tom-to-ground", True),
        ("nora", "norac-is-not-my-name", False),
        ("Nora", "It is NORA who comes", False),
        ("ёлка", "под ЁЛКА стоит", False),
    ],
)
def test_only_a_name_of_four_letters_is_looked_for_in_the_password(site, name, password, fits):
    answer = site.register_on_page(site.invited.invite()["token"], name, password)
    assert answer.accepted == fits, answer.text
    assert fits or "your name" in answer.text


@pytest.mark.parametrize("password", ["Straẞe-1234", "correct🐴horse", "cafe\u0301 au lait"])
def test_an_app_signs_in_with_what_was_typed_on_the_page(site, password):
    name = f"signs-in-{len(password.encode())}"
    assert site.register_on_page(site.invited.invite()["token"], name, password).accepted

    async def sign_in():
        async with signed_in(site.prosody, name, password):
            pass

    run(sign_in())
