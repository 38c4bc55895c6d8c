"""Share groups with KafkaShareConsumer."""

import os
import shutil
import tempfile

import pytest

import jvm
from broker import Own

VERSION = "4.4.0"
RECORDS = 20_000
MEMBERS = 5


@pytest.fixture
def quick():
    """A broker for one check, which may kill it."""
    directory = tempfile.mkdtemp(prefix="once-compat-")
    started = Own(os.environ["COMPAT_BROKER"], directory)
    try:
        yield started.start()
    finally:
        started.stop()
        shutil.rmtree(directory, ignore_errors=True)


def members(address):
    source = os.path.join(os.path.dirname(__file__), "..", "java", "ShareGroups.java")
    return jvm.Tool(VERSION, source, address, RECORDS, MEMBERS)


def test_every_record_is_accepted(broker):
    """Members accept, release and end with records that they have said nothing about: nothing is lost, no count too high."""
    with members(broker.address) as tool:
        tool.await_end()


@pytest.mark.own_broker
def test_every_record_is_accepted_over_a_kill(quick):
    """The same while the broker is killed: each record accepted at least once, lag 0 in the end."""
    with members(quick.address) as tool:
        tool.await_line(lambda line: line.strip() == b"half")
        quick.kill()
        quick.start()
        tool.await_end()
