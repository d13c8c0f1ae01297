"""Fixtures for all topics, and the servers' logs beside every failure."""

import pytest

from harness import loop
from harness.browser import chromium
from harness.process import LOGS
from harness.site import Site

LOG_LINES = 150


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    with Site(tmp_path_factory.mktemp("site")) as site:
        yield site


@pytest.fixture(scope="session")
def browser():
    with chromium() as browser:
        yield browser


def pytest_sessionfinish():
    loop.end()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup():
    for log in LOGS:
        LOGS[log] = log.stat().st_size if log.exists() else 0
    return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport():
    report = yield
    if report.failed:
        for log, start in LOGS.items():
            written = log.read_bytes()[start:] if log.exists() else b""
            if written:
                lines = written.decode(errors="replace").splitlines()[-LOG_LINES:]
                report.sections.append((str(log), "\n".join(lines)))
    return report
