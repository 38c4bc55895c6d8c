"""Fixtures and the table of results.

Environment, set by run.sh: COMPAT_BROKER is the broker's binary, or COMPAT_AGAINST the address of a
broker that runs already (checks marked own_broker are then left out); COMPAT_RESULTS is a file that
gets one line for each check: suite, name, PASS or FAIL, seconds. COMPAT_SUITE is the suite's name.
"""

import os
import uuid

import pytest

from broker import Running, running
from proxy import Proxy

AGAINST = os.environ.get("COMPAT_AGAINST", "")


def pytest_configure(config):
    config.addinivalue_line("markers", "own_broker: kills the broker or needs a setting, so it must be one of ours")
    config.addinivalue_line("markers", "noticed(code, ...): what the broker may notice about the check's clients, which "
                            "do that on purpose; it notices nothing else")


def pytest_collection_modifyitems(config, items):
    if AGAINST:
        config.hook.pytest_deselected(items=[i for i in items if i.get_closest_marker("own_broker")])
        items[:] = [i for i in items if not i.get_closest_marker("own_broker")]


@pytest.fixture(scope="session")
def broker():
    """The suite's broker: fresh, shared by the suite's checks."""
    if AGAINST:
        yield Running(AGAINST)
        return
    with running() as started:
        yield started


@pytest.fixture
def mortal():
    """A broker for one check, which may kill it."""
    with running() as started:
        yield started


@pytest.fixture(autouse=True)
def only_what_is_noticed(request):
    """Stock clients that are used as they should be give the broker nothing to notice (GET /v1/findings). What checks
    of the lab do is not looked at: they make things go wrong."""
    serving = [f for f in ("mortal", "quick", "before_v2", "broker") if f in request.fixturenames]
    if AGAINST or not serving or request.module.__name__.startswith("test_lab"):
        yield
        return
    by = request.getfixturevalue(serving[0])
    by.findings(clear=True)
    yield
    if getattr(request.node, "has_failed", False):
        return
    marker = request.node.get_closest_marker("noticed")
    found = [f for f in by.findings() if not marker or f["code"] not in marker.args]
    assert not found, found


@pytest.fixture
def name():
    """A prefix for the names of this check's topics, groups and transactional ids."""
    return "compat-" + uuid.uuid4().hex[:12]


@pytest.fixture
def proxy(broker):
    p = Proxy(broker.address)
    yield p
    p.close()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    report = (yield).get_result()
    if report.failed:
        item.has_failed = True
        for fixture in ("mortal", "before_v2", "quick", "broker"):
            served_by = item.funcargs.get(fixture)
            if served_by is not None and served_by.log_tail():
                report.sections.append(("the broker's log, its end", served_by.log_tail()))
    # A check is one line: its own phase, or the set-up or clean-up that failed.
    if report.when == "call" or report.failed:
        _write_result(item, report)


def _write_result(item, report):
    path = os.environ.get("COMPAT_RESULTS")
    if not path:
        return
    title = (item.function.__doc__ or item.name).strip().splitlines()[0].rstrip(".")
    if hasattr(item, "callspec"):
        title += " [%s]" % item.callspec.id
    if report.when != "call":
        title += " (%s)" % report.when
    outcome = "PASS" if report.passed else "FAIL"
    with open(path, "a") as f:
        f.write("\t".join([os.environ.get("COMPAT_SUITE", "?"), item.nodeid.split("::")[-1], title,
                           outcome, "%.1f" % report.duration]) + "\n")
