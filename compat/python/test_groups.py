"""Groups of the consumer protocol (group.protocol=consumer, KIP-848) with librdkafka and Kafka's own Java client."""

import os

import pytest
from confluent_kafka import Consumer, TopicPartition

import jvm
import kp
import wait
from worker import Worker

HERE = os.path.dirname(os.path.abspath(__file__))
JAVA = "streams-4.4.0"  # the folder of jars that has kafka-clients 4.4.0


def until(what, condition, within_s=60):
    """Longer than elsewhere: in Kafka members learn by heartbeats every 5 seconds what they may have."""
    return wait.until(what, condition, within_s)


class Member:
    """A consumer of confluent-kafka that counts its rebalances."""

    def __init__(self, address, topic, **more):
        self.rebalances = 0
        self.records = []
        self.client = Consumer({"bootstrap.servers": address, "group.id": topic, "group.protocol": "consumer",
                                "enable.auto.commit": False, "auto.offset.reset": "earliest",
                                "metadata.recovery.strategy": "none",
                                **{k.replace("_", "."): v for k, v in more.items()}})
        self.client.subscribe([topic], on_assign=self._changed, on_revoke=self._changed)

    def _changed(self, *_):
        self.rebalances += 1

    def poll(self):
        for m in self.client.consume(100, timeout=0.05):
            if m.error() is None:
                self.records.append((m.partition(), m.offset(), m.value()))

    def partitions(self):
        self.poll()
        return sorted(p.partition for p in self.client.assignment())


def partitions_of(*members):
    """How many partitions each has. All are polled: one that gives partitions up does so while it is polled."""
    return [len(m.partitions()) for m in members]


def send(address, topic, partitions, first, last):
    sender = kp.producer(address)
    for i in range(first, last):
        sender.send(topic, value=b"%d" % i, partition=i % partitions)
    sender.flush(30)
    sender.close()


def test_librdkafka_shares_and_hands_over(broker, name):
    """Two members share four partitions; when one leaves, the other goes on where that has committed."""
    kp.create_topic(broker.address, name, 4)
    send(broker.address, name, 4, 0, 40)
    a, b = Member(broker.address, name), None
    try:
        until("one member reads everything", lambda: a.poll() or len(a.records) == 40)
        a.client.commit(asynchronous=False)
        b = Member(broker.address, name)
        until("each has two partitions", lambda: partitions_of(a, b) == [2, 2])
        send(broker.address, name, 4, 40, 60)
        until("both read the rest", lambda: a.poll() or b.poll() or len(a.records) + len(b.records) == 60)
        a.client.commit(asynchronous=False)
        b.client.commit(asynchronous=False)
        b.client.close()
        until("the other has them all", lambda: len(a.partitions()) == 4)
        send(broker.address, name, 4, 60, 80)
        until("it reads the rest", lambda: a.poll() or len(a.records) + len(b.records) >= 80)
        assert len(set(a.records + b.records)) == 80 == len(a.records) + len(b.records), "records came twice"
    finally:
        a.client.close()


def test_librdkafka_static_member(broker, name):
    """A static member comes back under another member ID and has its partitions, and nobody else rebalances."""
    kp.create_topic(broker.address, name, 4)
    a = Member(broker.address, name, group_instance_id="a")
    b = Member(broker.address, name, group_instance_id="b")
    until("each has two partitions", lambda: partitions_of(a, b) == [2, 2])
    had, before = a.partitions(), b.rebalances
    a.client.close()
    a = Member(broker.address, name, group_instance_id="a")
    until("it has its partitions", lambda: a.partitions() == had)
    assert b.rebalances == before and len(b.partitions()) == 2
    for member in (a, b):
        member.client.close()


def test_librdkafka_transform(broker, name):
    """Consume-transform-produce in transactions, the offsets with the member epoch: one output each."""
    inputs = Worker.fill(broker.address, name)
    with Worker("confluent", broker.address, name, protocol="consumer") as only:
        only.await_done()
    Worker.assert_copied(broker.address, name, inputs, leftovers=False)


@pytest.mark.own_broker
def test_broker_killed_without_a_rebalance(mortal, name):
    """The broker is killed and comes back: members keep their partitions, and commit as before."""
    kp.create_topic(mortal.address, name, 4)
    a, b = Member(mortal.address, name), Member(mortal.address, name)
    until("each has two partitions", lambda: partitions_of(a, b) == [2, 2])
    before = a.rebalances + b.rebalances
    had = (a.partitions(), b.partitions())
    mortal.kill()
    mortal.start()
    send(mortal.address, name, 4, 0, 40)
    until("both read what came after", lambda: a.poll() or b.poll() or len(a.records) + len(b.records) == 40, within_s=30)
    a.client.commit(asynchronous=False)
    b.client.commit(asynchronous=False)
    assert (a.partitions(), b.partitions()) == had and a.rebalances + b.rebalances == before
    for member in (a, b):
        member.client.close()


def test_java(broker, name):
    """Java's own client: join, rebalance, regular expression, transactions, description, and a classic member besides."""
    said = jvm.run(JAVA, os.path.join(HERE, "..", "java", "ConsumerGroups.java"), broker.address, name, within_s=120)
    assert said.splitlines()[-1] == b"DONE", said
