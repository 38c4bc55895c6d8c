"""confluent-kafka (librdkafka), stock: transactions, consume-transform-produce, fencing, timeouts."""

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

import cf
import kp
import proxy as wire
from worker import Worker


PAYMENTS = 1000
LOST_ANSWERS = (2, 5, 6, 11, 17, 24)
LOST_REQUESTS = (9, 15, 22)


def send_payments(address, topic, **config):
    """1,000 payments of 50 accounts, in small batches. Gives the place each was told to have."""
    sender = cf.producer(address, batch_num_messages=10, **config)
    told, failures = {}, []

    def delivered(error, message):
        if error is not None:
            failures.append(error)
        else:
            told[message.value()] = (message.partition(), message.offset())
    for i in range(PAYMENTS):
        sender.produce(topic, key=b"account-%02d" % (i % 50), value=b"payment-%04d" % i, on_delivery=delivered)
    assert sender.flush(60) == 0 and not failures, failures
    return told


def test_payments_once(broker, proxy, name):
    """1,000 payments, the answers to 6 and the requests of 3 sends lost: each once, in order, at the offset told."""
    topic = kp.create_topic(broker.address, name, 3)
    answers = proxy.swallow(wire.PRODUCE, LOST_ANSWERS)
    requests = proxy.cut(wire.PRODUCE, LOST_REQUESTS)
    told = send_payments(proxy.address, topic, enable_idempotence=True)
    assert answers.fired == len(LOST_ANSWERS) and requests.fired == len(LOST_REQUESTS), "the proxy lost too little"
    records = cf.read(broker.address, topic)
    kp.assert_exactly_once([b"payment-%04d" % i for i in range(PAYMENTS)], records)
    kp.assert_ordered_by_key(records, lambda r: int(r.value[-4:]))
    assert told == {r.value: (r.partition, r.offset) for r in records}


def transactional(address, name, **config):
    sender = cf.producer(address, name, **config)
    sender.init_transactions(cf.TRANSACTION_S)
    return sender


def in_transaction(sender, topic, values, partitions=3):
    sender.begin_transaction()
    failures = []
    for i, value in enumerate(values):
        cf.send(sender, topic, value, i % partitions, failures=failures)
    assert sender.flush(30) == 0 and not failures, failures


def commit(sender):
    sender.commit_transaction(cf.TRANSACTION_S)


def test_commit_and_abort(broker, name):
    """Commit, abort, commit: read_committed sees the committed ones, read_uncommitted all."""
    topic = kp.create_topic(broker.address, name, 3)
    kept, gone, late = ([b"%s-%d" % (word, i) for i in range(30)] for word in (b"kept", b"gone", b"late"))
    sender = transactional(broker.address, name)
    in_transaction(sender, topic, kept)
    commit(sender)
    in_transaction(sender, topic, gone)
    sender.abort_transaction(cf.TRANSACTION_S)
    in_transaction(sender, topic, late)
    commit(sender)
    cf.await_stable(broker.address, topic)
    kp.assert_exactly_once(kept + late, cf.read(broker.address, topic, "read_committed"))
    kp.assert_exactly_once(kept + gone + late, cf.read(broker.address, topic, "read_uncommitted"))


def test_open_transaction_hides(broker, name):
    """An open transaction holds read_committed back, also from plain records behind it, until it ends."""
    topic = kp.create_topic(broker.address, name, 1)
    plain = cf.producer(broker.address)
    cf.send(plain, topic, b"before")
    assert plain.flush(10) == 0
    sender = transactional(broker.address, name)
    in_transaction(sender, topic, [b"inside"], partitions=1)
    cf.send(plain, topic, b"behind")
    assert plain.flush(10) == 0
    assert kp.values(cf.read(broker.address, topic, "read_uncommitted")) == [b"before", b"inside", b"behind"]
    assert cf.ends(broker.address, topic, "read_committed") == {0: 1}
    assert kp.values(cf.read(broker.address, topic, "read_committed")) == [b"before"]
    commit(sender)
    cf.await_stable(broker.address, topic)
    assert kp.values(cf.read(broker.address, topic, "read_committed")) == [b"before", b"inside", b"behind"]


@pytest.mark.own_broker
def test_open_transaction_survives_kill(mortal, name):
    """After kill -9 an open transaction is still open, and its producer can still commit it."""
    topic = kp.create_topic(mortal.address, name, 1)
    sender = transactional(mortal.address, name)
    in_transaction(sender, topic, [b"one", b"two"], partitions=1)
    mortal.kill()
    mortal.start()
    assert cf.ends(mortal.address, topic, "read_committed") == {0: 0}
    assert cf.ends(mortal.address, topic, "read_uncommitted") == {0: 2}
    commit(sender)
    cf.await_stable(mortal.address, topic)
    assert kp.values(cf.read(mortal.address, topic)) == [b"one", b"two"]


# --- consume, transform, produce ---

def worker(address, name, **more):
    return Worker("confluent", address, name, **more)


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
    member = Consumer({"bootstrap.servers": broker.address, "group.id": name, "isolation.level": "read_committed"})
    sender = transactional(broker.address, name)

    def send_offset(offset):
        sender.begin_transaction()
        sender.send_offsets_to_transaction([TopicPartition(topic, 0, offset)], member.consumer_group_metadata(), cf.TRANSACTION_S)

    def committed(timeout):
        return member.committed([TopicPartition(topic, 0)], timeout=timeout)[0].offset
    send_offset(7)
    commit(sender)
    assert committed(10) == 7
    send_offset(9)
    with pytest.raises(KafkaException) as raised:
        committed(1)
    assert raised.value.args[0].code() == KafkaError._TIMED_OUT
    sender.abort_transaction(cf.TRANSACTION_S)
    assert committed(10) == 7
    send_offset(11)
    commit(sender)
    assert committed(10) == 11
    member.close()


# --- fencing and timeouts ---

@pytest.mark.noticed("shared-transactional-id")
def test_fenced_at_commit(broker, name):
    """A second producer with the id fences the first: its commit fails fatally as fenced, its data stays unseen."""
    topic = kp.create_topic(broker.address, name, 1)
    first = transactional(broker.address, name)
    in_transaction(first, topic, [b"zombie"], partitions=1)
    second = transactional(broker.address, name)
    with pytest.raises(KafkaException) as raised:
        commit(first)
    assert raised.value.args[0].code() == KafkaError._FENCED and raised.value.args[0].fatal()
    in_transaction(second, topic, [b"successor"], partitions=1)
    commit(second)
    cf.await_stable(broker.address, topic)
    assert kp.values(cf.read(broker.address, topic)) == [b"successor"]
    assert kp.values(cf.read(broker.address, topic, "read_uncommitted")) == [b"zombie", b"successor"]


def test_fenced_at_begin(broker, name):
    """A producer fenced between two transactions is told so and writes nothing."""
    topic = kp.create_topic(broker.address, name, 1)
    first = transactional(broker.address, name)
    in_transaction(first, topic, [b"mine"], partitions=1)
    commit(first)
    transactional(broker.address, name)
    first.begin_transaction()
    failures = []
    cf.send(first, topic, b"zombie", failures=failures)
    with pytest.raises(KafkaException) as raised:
        commit(first)
    assert raised.value.args[0].code() == KafkaError._FENCED and raised.value.args[0].fatal()
    first.purge()
    assert first.flush(10) == 0
    assert len(failures) == 1
    cf.await_stable(broker.address, topic)
    assert kp.values(cf.read(broker.address, topic, "read_uncommitted")) == [b"mine"]


@pytest.mark.noticed("long-transaction")
def test_timeout(broker, name):
    """A producer that stops mid-transaction is aborted after transaction.timeout.ms; the stable offset moves on."""
    topic = kp.create_topic(broker.address, name, 1)
    sender = transactional(broker.address, name, transaction_timeout_ms=1500)
    in_transaction(sender, topic, [b"stale"], partitions=1)
    assert cf.ends(broker.address, topic, "read_committed") == {0: 0}
    # Kafka looks for timed out transactions every 10 s.
    assert cf.await_stable(broker.address, topic, within_s=25) == {0: 2}
    assert cf.read(broker.address, topic) == []
    with pytest.raises(KafkaException) as raised:
        commit(sender)
    assert raised.value.args[0].code() == KafkaError._FENCED and raised.value.args[0].fatal()
