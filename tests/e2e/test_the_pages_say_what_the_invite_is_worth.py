"""Landing page, registration form and what comes after, as a browser and a crawler see them."""

import re
import subprocess

import httpx
import pytest

from harness import chat
from harness.browser import create_account_in, visit
from harness.loop import run
from harness.site import PASSWORD
from harness.waiting import wait_until

PHONE = "Mozilla/5.0 (Linux; Android 15; Pixel) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0 Mobile"


@pytest.fixture
def http(site):
    with httpx.Client(base_url=site.invited.url) as http:
        yield http


def test_a_good_invite_shows_its_page_and_its_uri(site, http):
    invite = site.invited.invite()
    page = http.get(f"/invite?{invite['token']}")
    assert page.status_code == 200
    assert page.headers["link"] == f'<{invite["uri"]}>; rel="alternate"'
    assert page.headers["access-control-allow-origin"] == "*"
    assert "link" in page.headers["access-control-expose-headers"].lower()
    assert invite["url"] == f"{site.invited.url}/invite?{invite['token']}"
    assert site.invited.uses(invite["token"]) == 0


def test_links_that_were_sent_before_and_links_with_additions_work(site, http):
    token = site.invited.invite()["token"]
    for address in (f"/invites_page?{token}", f"/invite?{token}&utm_source=mail", f"/invite?{token}&fbclid=1&x"):
        assert http.get(address).status_code == 200, address


def test_an_unknown_invite_is_not_found(http):
    for token in ("A" * 24, "", "short", "%2e%2e"):
        assert http.get(f"/invite?{token}").status_code == 404, token
    assert http.get("/register", params={"t": "A" * 24}, follow_redirects=True).status_code == 404


def test_used_revoked_and_expired_invites_are_gone_and_say_why(site, http):
    used = site.invited.invite()["token"]
    assert site.register(used, "user-of-it").accepted
    revoked = site.invited.invite()["token"]
    site.invited.output_of("invite", "revoke", "localhost", revoked)
    expired = site.invited.invite("--expires-in", "1s")["token"]
    wait_until(lambda: http.get(f"/invite?{expired}").status_code == 410, "the invite expires")

    for token, reason in ((used, "has been used"), (revoked, "withdrawn"), (expired, "expired")):
        page = http.get(f"/invite?{token}")
        assert page.status_code == 410
        assert reason in page.text, reason
        assert "link" not in page.headers
        assert http.get("/register", params={"t": token}, follow_redirects=True).status_code == 410


@pytest.mark.parametrize("address", ["/invite?{}", "/register?t={}", "/invite?unknown"])
def test_no_page_tells_others_about_the_token(site, http, address):
    headers = http.get(address.format(site.invited.invite()["token"])).headers
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "'unsafe-inline'" not in policy
    assert "'unsafe-eval'" not in policy
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["x-content-type-options"] == "nosniff"
    assert "noindex" in headers["x-robots-tag"]


def test_the_form_needs_its_own_secret(site, http):
    token = site.invited.invite()["token"]
    http.get("/register", params={"t": token})
    answer = http.post("/register", data={"token": token, "user": "forged", "password": PASSWORD, "csrf": "forged"})
    assert answer.status_code in (400, 403)
    assert "forged" not in site.prosody.accounts()


def test_the_page_of_success_is_kept_nowhere_and_repeats_no_password(site):
    page = site.register_on_page(site.invited.invite()["token"], "discreet")
    assert page.accepted, page
    assert "no-store" in page.headers["cache-control"]
    assert "discreet@localhost" in page.text
    assert PASSWORD not in page.text


@pytest.mark.parametrize("javascript", [True, False])
def test_a_person_with_a_browser_gets_an_account(site, browser, javascript):
    name = "scripted" if javascript else "scriptless"
    with visit(browser, javascript=javascript) as page:
        assert page.goto(site.invited.invite()["url"]).status == 200
        create_account_in(page, name, PASSWORD)
        page.get_by_text(f"{name}@localhost").first.wait_for()
        assert PASSWORD not in page.content()
        assert not [complaint for complaint in page.complaints if complaint.startswith(("error", "warning", "script"))]
        assert_asks_nobody_else(site, page)
    site.prosody.add_account(f"friend-of-{name}", PASSWORD)
    run(chat.exchange_a_message(site.prosody, (name, PASSWORD), (f"friend-of-{name}", PASSWORD)))


def test_no_page_asks_anybody_else_for_anything(site, browser):
    invite = site.invited.invite()
    with visit(browser) as page:
        for address in (f"/invite?{invite['token']}", f"/register?t={invite['token']}", "/invite?unknown"):
            page.goto(site.invited.url + address, wait_until="networkidle")
        assert_asks_nobody_else(site, page)


def test_the_qr_code_leads_to_the_invite(site, browser, tmp_path):
    invite = site.invited.invite()
    with visit(browser, javascript=False) as page:
        page.goto(invite["url"])
        picture = tmp_path / "qr.png"
        code = page.locator("img.qr").locator("visible=true").first
        code.scroll_into_view_if_needed()
        code.screenshot(path=picture)
    done = subprocess.run(["zbarimg", "--quiet", "--raw", picture], capture_output=True, text=True)
    assert done.stdout.strip() in (invite["uri"], invite["url"]), done.stderr


def test_a_phone_fetches_the_qr_code_when_somebody_wants_it(site, browser):
    invite = site.invited.invite()
    code = f"{site.invited.url}/invite/qr.svg?{invite['token']}"
    with visit(browser, user_agent=PHONE, viewport={"width": 390, "height": 844}) as page:
        page.goto(invite["url"], wait_until="networkidle")
        assert code not in page.asked_for
        page.get_by_text("Use it on another device").click()
        wait_until(lambda: page.locator("img.qr").first.evaluate("image => image.naturalWidth") > 0, "the code is seen")
        assert code in page.asked_for


def test_the_qr_code_is_on_paper_too(site, browser):
    invite = site.invited.invite()
    with visit(browser, user_agent=PHONE) as page:
        page.goto(invite["url"], wait_until="networkidle")
        page.pdf()
        assert f"{site.invited.url}/invite/qr.svg?{invite['token']}" in page.asked_for


def test_the_button_for_apps_opens_the_uri(site, http):
    invite = site.invited.invite()
    assert f'href="{invite["uri"]}"' in re.sub(r"&#x3d;|&#61;", "=", http.get(f"/invite?{invite['token']}").text)


def assert_asks_nobody_else(site, page):
    foreign = [address for address in page.asked_for if not address.startswith((f"{site.invited.url}/", "data:"))]
    assert page.asked_for
    assert foreign == []
