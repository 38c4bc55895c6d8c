"""Kafka Streams with group.protocol=streams and exactly_once_v2."""

import collections
import os
import shutil
import tempfile
import threading
import time

import pytest

import broker
import jvm
import kp

VERSION = "streams-4.4.0"
WORDS = 8
PARTITIONS = 4
PHASE = 400  # of each word, between two things that happen

# A killed instance is noticed within seconds.
SETTINGS = ("group.streams.min.session.timeout.ms=1000", "group.streams.session.timeout.ms=6000",
            "group.streams.min.heartbeat.interval.ms=500", "group.streams.heartbeat.interval.ms=1000",
            "transaction.abort.timed.out.transaction.cleanup.interval.ms=1000")


@pytest.fixture
def quick():
    """A broker for one check, which may kill it."""
    with broker.running(*SETTINGS) as started:
        yield started


@pytest.fixture
def states():
    directory = tempfile.mkdtemp(prefix="once-compat-streams-")
    yield directory
    shutil.rmtree(directory, ignore_errors=True)


def instance(address, name, states, number, *more):
    """more: the client ID, and how often it commits in ms."""
    source = os.path.join(os.path.dirname(__file__), "..", "java", "CountWords.java")
    return jvm.Tool(VERSION, source, address, name, os.path.join(states, str(number)), *more)


def running(tool):
    tool.await_line(lambda line: line.strip() == b"state RUNNING")


class Feeder:
    """Writes each word as often as it is told to, and knows how often that is by now."""

    def __init__(self, address, topic):
        self.address, self.topic, self.fed = address, topic, 0

    def feed(self, times):
        producer = kp.producer(self.address)
        for i in range(times):
            for word in range(WORDS):
                producer.send(self.topic, value=b"word-%d" % word, partition=(i + word) % PARTITIONS)
        producer.flush(60)
        producer.close()
        self.fed += times


def await_counts(address, topic, want, within_s=120):
    """Wait until each word has reached its count, and return all counts in their order, by word."""
    deadline = time.monotonic() + within_s
    while True:
        counts = collections.defaultdict(list)
        for record in kp.read(address, topic, "read_committed"):
            counts[record.key].append(int(record.value))
        reached = sorted(max(of) for of in counts.values())
        if len(counts) == WORDS and reached[0] >= want:
            return counts
        assert time.monotonic() < deadline, "not within %d s: %s of %d" % (within_s, reached, want)


@pytest.mark.own_broker
def test_words_are_counted_once(quick, name, states):
    """Kafka Streams 4.4 counts words while instances come, go and are killed, and the broker is killed: each once."""
    kp.create_topic(quick.address, name + "-words", PARTITIONS)
    kp.create_topic(quick.address, name + "-counts", PARTITIONS)
    feeder = Feeder(quick.address, name + "-words")
    with instance(quick.address, name, states, 1) as first:
        running(first)
        feeder.feed(PHASE)
        with instance(quick.address, name, states, 2) as second:
            running(second)
            feeder.feed(PHASE)
            first.kill()
            feeding = threading.Thread(target=feeder.feed, args=(PHASE,))
            feeding.start()
            quick.kill()
            quick.start()
            feeding.join()
            with instance(quick.address, name, states, 3) as third:
                running(third)
                feeder.feed(PHASE)
                counts = await_counts(quick.address, name + "-counts", feeder.fed)
    for word, of in counts.items():
        assert of == list(range(1, feeder.fed + 1)), "%s was not counted once each time" % word
