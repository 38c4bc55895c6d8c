"""Waiting for a condition instead of for a time."""

import time


def until(what, condition, within_s=15, every_s=0.05):
    """Poll condition until it gives something true, and return that; AssertionError after within_s."""
    deadline = time.monotonic() + within_s
    while True:
        got = condition()
        if got:
            return got
        if time.monotonic() > deadline:
            raise AssertionError("not within %g s: %s (last seen: %r)" % (within_s, what, got))
        time.sleep(every_s)
