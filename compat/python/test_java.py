"""Kafka's own Java tools, of a version with transactions V2 (4.4) and of one with V1 (3.9), and its Admin client."""

import json
import os

import pytest

import jvm
import kp
import proxy as wire

RECORDS = 20_000
COPIED = 3_000  # of each of two input partitions
IN_ONE_TRANSACTION = 100


@pytest.fixture(params=jvm.VERSIONS)
def version(request):
    return request.param


def test_producer_performance(broker, name, version):
    """ProducerPerformance in transactions of 100 ms: every record there once for read_committed."""
    topic = kp.create_topic(broker.address, name, 3)
    said = jvm.run(version, jvm.PERFORMANCE, "--topic", topic, "--num-records", RECORDS, "--throughput", 20_000,
                   "--payload-monotonic", "--transactional-id", name, "--transaction-duration-ms", 100,
                   "--producer-props", "bootstrap.servers=" + broker.address)
    assert b"%d records sent" % RECORDS in said, said
    ends = kp.await_stable(broker.address, topic)
    records = kp.read(broker.address, topic)
    kp.assert_exactly_once([b"%d" % i for i in range(RECORDS)], records)
    # Offsets beyond the records are commit markers: more than one transaction, as was asked.
    assert sum(ends.values()) - len(records) > 3


def console_read(version, address, topic, isolation):
    """What the console consumer prints until nothing more comes."""
    said = jvm.run(version, jvm.CONSUMER, "--bootstrap-server", address, "--topic", topic, "--from-beginning",
                   "--isolation-level", isolation, "--timeout-ms", 3000)
    return said.splitlines()


def test_console(broker, name, version):
    """Console producer and consumer: --isolation-level read_committed hides an aborted and an open transaction."""
    topic = kp.create_topic(broker.address, name, 1)
    write = [version, jvm.PRODUCER[version], "--bootstrap-server", broker.address, "--topic", topic,
             jvm.PRODUCER_SETTING[version], "enable.idempotence=true", jvm.PRODUCER_SETTING[version], "acks=all"]
    before = [b"before-%d" % i for i in range(100)]
    after = [b"after-%d" % i for i in range(100)]
    jvm.run(*write, stdin=b"\n".join(before) + b"\n")
    other = kp.producer(broker.address, transactional_id=name)
    other.init_transactions()
    other.begin_transaction()
    other.send(topic, b"aborted").get(10)
    other.abort_transaction()
    jvm.run(*write, stdin=b"\n".join(after) + b"\n")
    other.begin_transaction()
    other.send(topic, b"open").get(10)
    assert console_read(version, broker.address, topic, "read_committed") == before + after
    assert console_read(version, broker.address, topic, "read_uncommitted") == before + [b"aborted"] + after + [b"open"]
    other.commit_transaction()
    other.close()
    kp.await_stable(broker.address, topic)
    assert console_read(version, broker.address, topic, "read_committed") == before + after + [b"open"]


# --- Admin ---

@pytest.mark.parametrize("program, version", [("AdminCluster", "4.4.0"), ("AdminGroups", "streams-4.4.0")])
def test_admin(broker, name, program, version):
    """Calls of the Admin client that no tool makes: each answer as expected."""
    source = os.path.join(os.path.dirname(__file__), "..", "java", program + ".java")
    said = jvm.run(version, source, broker.address, name, within_s=120)
    assert said.splitlines()[-1] == b"DONE", said


# --- TransactionalMessageCopier ---

def fill(address, name):
    kp.create_topic(address, name + "-in", 2)
    kp.create_topic(address, name + "-out", 2)
    sender = kp.producer(address)
    for i in range(COPIED):
        for partition in (0, 1):
            sender.send(name + "-in", key=b"%d" % partition, value=b"%d-%05d" % (partition, i), partition=partition)
    sender.flush(30)
    sender.close()


def copier(version, address, name, partition, *more):
    return jvm.Tool(version, jvm.COPIER, "--broker-list", address, "--input-topic", name + "-in", "--input-partition", partition,
                    "--output-topic", name + "-out", "--consumer-group", name + "-group", "--transaction-size", IN_ONE_TRANSACTION,
                    "--transactional-id", "%s-%d" % (name, partition), "--enable-random-aborts", "--use-group-metadata", *more)


def copied_in_session(line):
    """How many messages the copier says it has copied, from a line of its JSON."""
    try:
        status = json.loads(line)
    except ValueError:
        return 0
    return int(status.get("totalProcessed", 0))


def assert_copied(address, name):
    kp.await_stable(address, name + "-out", within_s=25)
    committed = kp.read(address, name + "-out", "read_committed")
    kp.assert_exactly_once([b"%d-%05d" % (p, i) for p in (0, 1) for i in range(COPIED)], committed)
    kp.assert_ordered_by_key(committed, lambda r: int(r.value[2:]))
    written = kp.read(address, name + "-out", "read_uncommitted")
    assert len(written) > len(committed), "there were no aborts"


def test_copier_aborts(broker, name, version):
    """Two TransactionalMessageCopiers with random aborts: each message copied once, in order."""
    fill(broker.address, name)
    with copier(version, broker.address, name, 0) as first, copier(version, broker.address, name, 1) as second:
        first.await_end()
        second.await_end()
    assert_copied(broker.address, name)


def test_copier_killed(broker, name, version):
    """A TransactionalMessageCopier killed -9 midway and started again: each message copied once, in order."""
    fill(broker.address, name)
    with copier(version, broker.address, name, 1) as other:
        # The next one asks for its position before it fences the first. Offsets that the first has left in an open
        # transaction are stable when that has timed out, which takes the timeout and up to ten seconds; it waits for 60.
        with copier(version, broker.address, name, 0, "--transaction-timeout", 20_000) as first:
            first.await_line(lambda line: copied_in_session(line) >= COPIED // 3)
            assert first.kill(), "the copier had ended already"
        with copier(version, broker.address, name, 0) as second:
            second.await_end()
        other.await_end()
    assert_copied(broker.address, name)


def test_copier_answers_lost(broker, proxy, name, version):
    """A TransactionalMessageCopier that loses answers to commits, offsets and sends: each message copied once, in order."""
    fill(broker.address, name)
    lost = [proxy.swallow(wire.END_TXN, (2, 3, 9)), proxy.swallow(wire.TXN_OFFSET_COMMIT, (4, 12)),
            proxy.swallow(wire.PRODUCE, (1, 6, 14))]
    with copier(version, proxy.address, name, 0) as first:
        with copier(version, broker.address, name, 1) as second:
            first.await_end()
            second.await_end()
    assert [rule.fired for rule in lost] == [3, 2, 3]
    assert_copied(broker.address, name)


@pytest.mark.noticed("shared-transactional-id")
def test_copier_fenced(broker, proxy, name, version):
    """A second TransactionalMessageCopier with the id fences the first, whose commit is under way: each message once."""
    fill(broker.address, name)
    held = proxy.hold(wire.END_TXN, nth=3, match=lambda answer: answer.error_code == 0)
    with copier(version, proxy.address, name, 0) as first:
        first.await_event(held.reached, "the third commit is answered")
        for partition in (0, 1):
            with copier(version, broker.address, name, partition) as successor:
                successor.await_end()
        held.drop()
        first.await_line(lambda line: b"ProducerFencedException" in line)
        assert first.await_exit() == 1
    assert_copied(broker.address, name)


@pytest.mark.own_broker
def test_copier_across_broker_kill(mortal, name, version):
    """The broker killed -9 and restarted under a TransactionalMessageCopier: each message copied once, in order."""
    fill(mortal.address, name)
    with copier(version, mortal.address, name, 0) as first, copier(version, mortal.address, name, 1) as second:
        first.await_line(lambda line: copied_in_session(line) >= COPIED // 3)
        mortal.kill()
        mortal.start()
        first.await_end()
        second.await_end()
    assert_copied(mortal.address, name)
