"""Share groups with KafkaShareConsumer."""

import os

import pytest

import jvm

VERSION = "4.4.0"
RECORDS = 3_000
MEMBERS = 6
KILLED_MEMBERS = 4
WITHIN_S = 140  # of 15 on a machine that does nothing else


@pytest.fixture(scope="module")
def classes(tmp_path_factory):
    """The compiled program, which starts members as processes."""
    directory = str(tmp_path_factory.mktemp("classes"))
    jvm.compile(VERSION, os.path.join(os.path.dirname(__file__), "..", "java", "ShareGroups.java"), directory)
    return directory


def members(address, classes, broker_kills):
    return jvm.Tool(VERSION, "ShareGroups", address, RECORDS, MEMBERS, KILLED_MEMBERS, broker_kills, classes=classes)


@pytest.mark.timeout(WITHIN_S)
def test_every_record_is_accepted(broker, classes):
    """Members accept, release, close with records, and are killed -9 with records: nothing is lost, no count too high."""
    with members(broker.address, classes, 0) as tool:
        tool.await_end(WITHIN_S)


@pytest.mark.own_broker
@pytest.mark.timeout(WITHIN_S)
def test_every_record_is_accepted_over_kills(mortal, classes):
    """The same while the broker is killed -9 twice: each record accepted at least once, lag 0 in the end."""
    with members(mortal.address, classes, 2) as tool:
        for _ in range(2):
            tool.await_line(lambda line: line.strip() == b"now", WITHIN_S)
            mortal.kill()
            mortal.start()
        tool.await_end(WITHIN_S)
