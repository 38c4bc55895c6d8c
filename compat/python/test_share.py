"""Share groups with KafkaShareConsumer."""

import os

import pytest

import jvm

VERSION = "4.4.0"
RECORDS = 20_000
MEMBERS = 5


def members(address):
    source = os.path.join(os.path.dirname(__file__), "..", "java", "ShareGroups.java")
    return jvm.Tool(VERSION, source, address, RECORDS, MEMBERS)


def test_every_record_is_accepted(broker):
    """Members accept, release and end with records that they have said nothing about: nothing is lost, no count too high."""
    with members(broker.address) as tool:
        tool.await_end()


@pytest.mark.own_broker
def test_every_record_is_accepted_over_a_kill(mortal):
    """The same while the broker is killed: each record accepted at least once, lag 0 in the end."""
    with members(mortal.address) as tool:
        tool.await_line(lambda line: line.strip() == b"half")
        mortal.kill()
        mortal.start()
        tool.await_end()
