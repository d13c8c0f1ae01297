"""The system's Chromium, and everything that a page made it ask for."""

import os
from contextlib import contextmanager

from playwright.sync_api import sync_playwright

EXECUTABLE = os.environ.get("CHROMIUM", "/usr/bin/chromium")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--host-resolver-rules=MAP *.example 127.0.0.1",
]


@contextmanager
def chromium():
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=EXECUTABLE, args=ARGUMENTS)
        yield browser
        browser.close()


@contextmanager
def visit(browser, *, javascript=True, **options):
    """A fresh page that keeps all addresses it asked for and all lines of its console as `complaints`."""
    context = browser.new_context(java_script_enabled=javascript, **options)
    page = context.new_page()
    page.asked_for = []
    page.complaints = []
    context.on("request", lambda request: page.asked_for.append(request.url))
    page.on("console", lambda message: page.complaints.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: page.complaints.append(f"script: {error}"))
    yield page
    context.close()


def create_account_in(page, name, password):
    """Goes from the landing page to the form, fills it in and sends it, as a person would."""
    link = page.locator("a[href*='/register?']").first
    if not link.is_visible():
        for fold in page.locator("summary").all():
            fold.click()
    link.click()
    page.locator("input[name=user]").fill(name)
    for field in page.locator("input[type=password]").all():
        field.fill(password)
    page.locator("button[type=submit]").click()
