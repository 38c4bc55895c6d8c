"""kafka-python, stock: idempotence, transactions, consume-transform-produce, fencing, timeouts."""

import hashlib
import random
import zlib

import kafka.errors
import pytest
from kafka import KafkaConsumer, TopicPartition
from kafka.structs import OffsetAndMetadata

import kp
import proxy as wire
from worker import Worker

PAYMENTS = 1000
LOST_ANSWERS = (2, 5, 6, 11, 17, 24)
LOST_REQUESTS = (9, 15, 22)


def send_payments(address, topic, between=lambda i: None, **config):
    """1,000 payments of 50 accounts, in small batches. Gives the futures in the order of sending."""
    sender = kp.producer(address, batch_size=250, **config)
    try:
        futures = []
        for i in range(PAYMENTS):
            between(i)
            futures.append(sender.send(topic, key=b"account-%02d" % (i % 50), value=b"payment-%04d" % i))
        sender.flush(60)
        return futures
    finally:
        sender.close(timeout=5)


def assert_payments(address, topic, futures):
    records = kp.read(address, topic)
    kp.assert_exactly_once([b"payment-%04d" % i for i in range(PAYMENTS)], records)
    kp.assert_ordered_by_key(records, lambda r: int(r.value[-4:]))
    at = {r.value: (r.partition, r.offset) for r in records}
    for i, future in enumerate(futures):
        told = future.get(10)
        assert at[b"payment-%04d" % i] == (told.partition, told.offset), "payment %d is not where its producer was told" % i


def test_payments_once(broker, proxy, name):
    """1,000 payments, the answers to 6 and the requests of 3 sends lost: each once, in order, at the offset told."""
    topic = kp.create_topic(broker.address, name, 3)
    answers = proxy.swallow(wire.PRODUCE, LOST_ANSWERS)
    requests = proxy.cut(wire.PRODUCE, LOST_REQUESTS)
    futures = send_payments(proxy.address, topic, enable_idempotence=True)
    assert answers.fired == len(LOST_ANSWERS) and requests.fired == len(LOST_REQUESTS), "the proxy lost too little"
    assert_payments(broker.address, topic, futures)


def test_payments_control(broker, proxy, name):
    """The same losses without idempotence do make duplicates (the check above can fail)."""
    topic = kp.create_topic(broker.address, name, 3)
    proxy.swallow(wire.PRODUCE, LOST_ANSWERS)
    send_payments(proxy.address, topic, enable_idempotence=False, acks="all")
    records = kp.read(broker.address, topic)
    assert len(set(kp.values(records))) == PAYMENTS
    assert len(records) > PAYMENTS


@pytest.mark.own_broker
def test_payments_across_kill(mortal, name):
    """1,000 payments, the broker killed -9 twice with one stored and not answered: each once, in order."""
    topic = kp.create_topic(mortal.address, name, 3)
    held = []

    def between(i):
        if i in (300, 700):
            held.append(mortal.lab.fault({"holdAnswer": True}, api="Produce"))
        if i in (350, 750):
            held[-1].wait("held", timeout="30s")
            mortal.kill()
            mortal.start()
    assert_payments(mortal.address, topic, send_payments(mortal.address, topic, between, enable_idempotence=True))


def in_transaction(sender, topic, values, partitions=3):
    sender.begin_transaction()
    for i, value in enumerate(values):
        sender.send(topic, key=b"k%d" % i, value=value, partition=i % partitions)
    sender.flush(30)


def test_commit_and_abort(broker, name):
    """Commit, abort, commit: read_committed sees the committed ones, read_uncommitted all."""
    topic = kp.create_topic(broker.address, name, 3)
    kept, gone, late = ([b"%s-%d" % (word, i) for i in range(30)] for word in (b"kept", b"gone", b"late"))
    sender = kp.producer(broker.address, transactional_id=name)
    sender.init_transactions()
    in_transaction(sender, topic, kept)
    sender.commit_transaction()
    in_transaction(sender, topic, gone)
    sender.abort_transaction()
    in_transaction(sender, topic, late)
    sender.commit_transaction()
    sender.close()
    kp.await_stable(broker.address, topic)
    kp.assert_exactly_once(kept + late, kp.read(broker.address, topic, "read_committed"))
    kp.assert_exactly_once(kept + gone + late, kp.read(broker.address, topic, "read_uncommitted"))


def test_open_transaction_hides(broker, name):
    """An open transaction holds read_committed back, also from plain records behind it, until it ends."""
    topic = kp.create_topic(broker.address, name, 1)
    plain = kp.producer(broker.address)
    plain.send(topic, b"before").get(10)
    sender = kp.producer(broker.address, transactional_id=name)
    sender.init_transactions()
    in_transaction(sender, topic, [b"inside"], partitions=1)
    plain.send(topic, b"behind").get(10)
    assert kp.values(kp.read(broker.address, topic, "read_uncommitted")) == [b"before", b"inside", b"behind"]
    assert kp.ends(broker.address, topic, "read_committed") == {0: 1}
    assert kp.values(kp.read(broker.address, topic, "read_committed")) == [b"before"]
    sender.commit_transaction()
    kp.await_stable(broker.address, topic)
    assert kp.values(kp.read(broker.address, topic, "read_committed")) == [b"before", b"inside", b"behind"]
    plain.close()
    sender.close()


@pytest.mark.own_broker
def test_open_transaction_survives_kill(mortal, name):
    """After kill -9 an open transaction is still open, and its producer can still commit it."""
    topic = kp.create_topic(mortal.address, name, 1)
    sender = kp.producer(mortal.address, transactional_id=name)
    sender.init_transactions()
    in_transaction(sender, topic, [b"one", b"two"], partitions=1)
    mortal.kill()
    mortal.start()
    assert kp.ends(mortal.address, topic, "read_committed") == {0: 0}
    assert kp.ends(mortal.address, topic, "read_uncommitted") == {0: 2}
    sender.commit_transaction()
    kp.await_stable(mortal.address, topic)
    assert kp.values(kp.read(mortal.address, topic)) == [b"one", b"two"]
    sender.close()


# --- consume, transform, produce ---

def worker(address, name, **more):
    return Worker("kafka_python", address, name, **more)


def test_transform_killed_before_commit(broker, name):
    """Consume-transform-produce killed -9 between send and commit: every input has one output."""
    inputs = Worker.fill(broker.address, name)
    with worker(broker.address, name, pause_before_commit=3) as first:
        first.await_line("PAUSED")
        first.kill()
    with worker(broker.address, name) as second:
        second.await_done()
    Worker.assert_copied(broker.address, name, inputs, leftovers=True)


def test_transform_killed_before_answer(broker, proxy, name):
    """Consume-transform-produce killed -9 with the commit sent and its answer not seen: one output each."""
    inputs = Worker.fill(broker.address, name)
    held = proxy.hold(wire.END_TXN, nth=3, match=lambda answer: answer.error_code == 0)
    with worker(proxy.address, name, instance=name) as first:
        first.await_event(held.reached, "the third commit is answered")
        first.kill()
        held.drop()
    with worker(broker.address, name, instance=name) as second:
        second.await_done()
    Worker.assert_copied(broker.address, name, inputs, leftovers=False)


def test_transform_commit_answer_lost(broker, proxy, name):
    """The answer to a commit is lost, the client asks again: committed once."""
    inputs = Worker.fill(broker.address, name)
    lost = proxy.swallow(wire.END_TXN, (2, 5))
    with worker(proxy.address, name) as only:
        only.await_done()
    assert lost.fired == 2
    Worker.assert_copied(broker.address, name, inputs, leftovers=False)


@pytest.mark.own_broker
def test_transform_across_broker_kill(mortal, name):
    """The broker is killed -9 while a commit's answer is on its way: one output each."""
    inputs = Worker.fill(mortal.address, name)
    third = mortal.lab.fault({"holdAnswer": True}, when={"nth": 3}, api="EndTxn")
    with worker(mortal.address, name, session_ms=45_000) as only:  # a slow restart must not end the session
        third.wait("held", timeout="45s")
        mortal.kill()
        mortal.start()
        only.await_done()
    Worker.assert_copied(mortal.address, name, inputs, leftovers=False)


def test_offsets_in_open_transaction(broker, name):
    """Offsets in an open transaction: a read_committed group member waits for them, and gets them after the commit."""
    topic = kp.create_topic(broker.address, name, 1)
    partition = TopicPartition(topic, 0)
    member = KafkaConsumer(bootstrap_servers=broker.address, group_id=name, isolation_level="read_committed",
                           enable_auto_commit=False)
    sender = kp.producer(broker.address, transactional_id=name)
    sender.init_transactions()

    def send_offset(offset):
        sender.begin_transaction()
        sender.send_offsets_to_transaction({partition: OffsetAndMetadata(offset, "", -1)}, name)
    send_offset(7)
    sender.commit_transaction()
    assert member.committed(partition, timeout_ms=10_000) == 7
    send_offset(9)
    with pytest.raises(kafka.errors.KafkaTimeoutError):
        member.committed(partition, timeout_ms=1000)
    sender.abort_transaction()
    assert member.committed(partition, timeout_ms=10_000) == 7
    send_offset(11)
    sender.commit_transaction()
    assert member.committed(partition, timeout_ms=10_000) == 11
    member.close()
    sender.close()


# --- fencing and timeouts ---

@pytest.mark.noticed("shared-transactional-id")
def test_fenced_at_commit(broker, name):
    """A second producer with the id fences the first: its commit raises ProducerFencedError, its data stays unseen."""
    topic = kp.create_topic(broker.address, name, 1)
    first = kp.producer(broker.address, transactional_id=name)
    first.init_transactions()
    in_transaction(first, topic, [b"zombie"], partitions=1)
    second = kp.producer(broker.address, transactional_id=name)
    second.init_transactions()
    with pytest.raises(kafka.errors.KafkaError) as raised:
        first.commit_transaction()
    assert type(raised.value) is kafka.errors.ProducerFencedError
    in_transaction(second, topic, [b"successor"], partitions=1)
    second.commit_transaction()
    kp.await_stable(broker.address, topic)
    assert kp.values(kp.read(broker.address, topic)) == [b"successor"]
    assert kp.values(kp.read(broker.address, topic, "read_uncommitted")) == [b"zombie", b"successor"]
    first.close(timeout=1)
    second.close()


def test_fenced_at_begin(broker, name):
    """A producer fenced between two transactions is told ProducerFencedError and writes nothing."""
    topic = kp.create_topic(broker.address, name, 1)
    first = kp.producer(broker.address, transactional_id=name)
    first.init_transactions()
    in_transaction(first, topic, [b"mine"], partitions=1)
    first.commit_transaction()
    second = kp.producer(broker.address, transactional_id=name)
    second.init_transactions()
    first.begin_transaction()
    sent = first.send(topic, b"zombie", partition=0)
    with pytest.raises(kafka.errors.KafkaError) as raised:
        sent.get(10)
    assert type(raised.value) is kafka.errors.ProducerFencedError
    with pytest.raises(kafka.errors.KafkaError):
        first.commit_transaction()
    kp.await_stable(broker.address, topic)
    assert kp.values(kp.read(broker.address, topic, "read_uncommitted")) == [b"mine"]
    first.close(timeout=1)
    second.close()


@pytest.mark.noticed("long-transaction")
def test_timeout(broker, name):
    """A producer that stops mid-transaction is aborted after transaction_timeout_ms; the stable offset moves on."""
    topic = kp.create_topic(broker.address, name, 1)
    sender = kp.producer(broker.address, transactional_id=name, transaction_timeout_ms=1500)
    sender.init_transactions()
    in_transaction(sender, topic, [b"stale"], partitions=1)
    assert kp.ends(broker.address, topic, "read_committed") == {0: 0}
    # Kafka looks for timed out transactions every 10 s.
    assert kp.await_stable(broker.address, topic, within_s=25) == {0: 2}
    assert kp.read(broker.address, topic) == []
    with pytest.raises(kafka.errors.KafkaError) as raised:
        sender.commit_transaction()
    assert type(raised.value) is kafka.errors.ProducerFencedError
    sender.close(timeout=1)


# --- compression and size ---

@pytest.mark.parametrize("codec", ["lz4", "gzip"])
def test_large_transaction(broker, name, codec):
    """10,000 records in one transaction over ten partitions, up to 900 kB each, compressed."""
    topic = kp.create_topic(broker.address, name, 10)
    chance = random.Random(zlib.crc32(codec.encode()))  # fixed: the same records in each run

    def record(i):
        if i % 1000 == 500:
            return b"%05d" % i + chance.randbytes(900_000 - 5)
        return b"%05d" % i + b"x" * chance.randrange(400) + chance.randbytes(40)
    sums = {}
    sender = kp.producer(broker.address, transactional_id=name, compression_type=codec, linger_ms=5, max_request_size=1_040_000)
    sender.init_transactions()
    sender.begin_transaction()
    for i in range(10_000):
        value = record(i)
        sums[i] = hashlib.sha256(value).digest()
        sender.send(topic, value, partition=i % 10)
    sender.flush(60)
    assert kp.read(broker.address, topic) == []
    sender.commit_transaction()
    sender.close()
    kp.await_stable(broker.address, topic)
    records = kp.read(broker.address, topic, within_s=60)
    assert len(records) == 10_000
    assert {int(r.value[:5]): hashlib.sha256(r.value).digest() for r in records} == sums
    for partition in range(10):
        assert [int(r.value[:5]) for r in records if r.partition == partition] == list(range(partition, 10_000, 10))
