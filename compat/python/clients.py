"""Stock clients with the same methods, so that a scenario is written once. Nothing here changes a client.

A kind of client makes producers, with begin, send, send_all, offsets, commit, abort and close, and consumers, with
committed, join, take, rewind and close. send returns when the record is acknowledged; send_all sends one value to some
partitions, in one request where the client can, and returns the name of the error of each, None for none. join returns
when there is a partition, of a topic with records; take subscribes at its first call, and returns offset and value of the
next record; rewind goes back to what is committed.
What a client refuses is Failed, with the client's name of the error; after_timeout is that of a commit that comes when
the coordinator has aborted the transaction.
"""

import collections
import itertools
import os
import queue
import subprocess
import threading

import kafka.errors
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from kafka import KafkaConsumer, KafkaProducer
from kafka import TopicPartition as Partition
from kafka.structs import OffsetAndMetadata

import jvm
from wait import until

LIMIT_S = 40  # for one call
SESSION_MS = 10_000
HEARTBEAT_MS = 500


class Failed(Exception):
    """A call that the client refused. name is the client's name of the error."""

    def __init__(self, name, text=""):
        super().__init__("%s %s" % (name, text))
        self.name = name


# --- librdkafka ---

class Confluent:
    name, v2, after_timeout = "confluent", False, "_FENCED"

    def producer(self, address, transactional_id, timeout_s=60, linger_ms=0):
        return ConfluentProducer(address, transactional_id, timeout_s, linger_ms)

    def consumer(self, address, group):
        return ConfluentConsumer(address, group)

    def close(self):
        pass


def _told(call, *args):
    try:
        return call(*args)
    except KafkaException as e:
        raise Failed(e.args[0].name(), e.args[0].str()) from e


class ConfluentProducer:
    def __init__(self, address, transactional_id, timeout_s, linger_ms):
        self._address = address
        self._producer = Producer({"bootstrap.servers": address, "transactional.id": transactional_id,
                                   "linger.ms": linger_ms, "transaction.timeout.ms": timeout_s * 1000})
        _told(self._producer.init_transactions, LIMIT_S)

    def begin(self):
        _told(self._producer.begin_transaction)

    def send(self, topic, value, partition=0):
        error, = self._sent(topic, value, [partition])
        if error is not None:
            raise Failed(error.name(), error.str())

    def send_all(self, topic, value, partitions):
        return [error and error.name() for error in self._sent(topic, value, partitions)]

    def _sent(self, topic, value, partitions):
        errors = {}
        for p in partitions:
            self._producer.produce(topic, value, partition=p, on_delivery=lambda e, m: errors.update({m.partition(): e}))
        assert self._producer.flush(LIMIT_S) == 0
        return [errors[p] for p in partitions]

    def offsets(self, group, topic, partition, offset):
        metadata = Consumer({"bootstrap.servers": self._address, "group.id": group}).consumer_group_metadata()
        offsets = [TopicPartition(topic, partition, offset)]
        _told(self._producer.send_offsets_to_transaction, offsets, metadata, LIMIT_S)

    def commit(self):
        _told(self._producer.commit_transaction, LIMIT_S)

    def abort(self):
        _told(self._producer.abort_transaction, LIMIT_S)

    def close(self):
        self._producer.purge()


class ConfluentConsumer:
    def __init__(self, address, group):
        self._consumer = Consumer({
            "bootstrap.servers": address, "group.id": group, "enable.auto.commit": False,
            "auto.offset.reset": "earliest", "session.timeout.ms": SESSION_MS, "heartbeat.interval.ms": HEARTBEAT_MS})

    def committed(self, topic, partition):
        return _told(self._consumer.committed, [TopicPartition(topic, partition)], LIMIT_S)[0].offset

    def join(self, topic):
        self._consumer.subscribe([topic])
        until("a partition is assigned", lambda: self._consumer.poll(0.05) or self._consumer.assignment(), LIMIT_S)

    def take(self, topic):
        if not self._consumer.assignment():
            self._consumer.subscribe([topic])
        record = until("a record", lambda: self._consumer.poll(1), LIMIT_S)
        assert record.error() is None, record.error()
        return record.offset(), record.value().decode()

    def rewind(self):
        for p in _told(self._consumer.committed, self._consumer.assignment(), LIMIT_S):
            self._consumer.seek(p)

    def close(self):
        self._consumer.close()


# --- kafka-python ---

class KafkaPython:
    name, v2, after_timeout = "kafka-python", False, "ProducerFencedError"

    def producer(self, address, transactional_id, timeout_s=60, linger_ms=0):
        return KafkaPythonProducer(address, transactional_id, timeout_s, linger_ms)

    def consumer(self, address, group):
        return KafkaPythonConsumer(address, group)

    def close(self):
        pass


def _raised(call, *args, **more):
    try:
        return call(*args, **more)
    except kafka.errors.KafkaError as e:
        raise Failed(type(e).__name__, str(e)) from e


class KafkaPythonProducer:
    def __init__(self, address, transactional_id, timeout_s, linger_ms):
        self._producer = KafkaProducer(bootstrap_servers=address, transactional_id=transactional_id,
                                       transaction_timeout_ms=timeout_s * 1000, linger_ms=linger_ms)
        _raised(self._producer.init_transactions)

    def begin(self):
        _raised(self._producer.begin_transaction)

    def send(self, topic, value, partition=0):
        _raised(_raised(self._producer.send, topic, value.encode(), partition=partition).get, LIMIT_S)

    def send_all(self, topic, value, partitions):
        def error_of(sent):
            try:
                _raised(sent.get, LIMIT_S)
            except Failed as e:
                return e.name
        sent = [_raised(self._producer.send, topic, value.encode(), partition=p) for p in partitions]
        return [error_of(one) for one in sent]

    def offsets(self, group, topic, partition, offset):
        _raised(self._producer.send_offsets_to_transaction,
                {Partition(topic, partition): OffsetAndMetadata(offset, "", -1)}, group)

    def commit(self):
        _raised(self._producer.commit_transaction)

    def abort(self):
        _raised(self._producer.abort_transaction)

    def close(self):
        self._producer.close(timeout=1)


class KafkaPythonConsumer:
    def __init__(self, address, group):
        self._consumer = KafkaConsumer(bootstrap_servers=address, group_id=group, isolation_level="read_committed",
                                       enable_auto_commit=False, auto_offset_reset="earliest",
                                       session_timeout_ms=SESSION_MS, heartbeat_interval_ms=HEARTBEAT_MS)

    def committed(self, topic, partition):
        return _raised(self._consumer.committed, Partition(topic, partition), timeout_ms=LIMIT_S * 1000)

    def join(self, topic):
        self._consumer.subscribe([topic])
        # A poll that times out while the group is joined may lose the assignment: README, found in the clients.
        until("a record of the topic", lambda: self._consumer.poll(timeout_ms=LIMIT_S * 1000), LIMIT_S)

    def take(self, topic):
        if not self._consumer.subscription():
            self._consumer.subscribe([topic])
        found = until("a record", lambda: self._consumer.poll(timeout_ms=LIMIT_S * 1000, max_records=1), LIMIT_S)
        (record,), = found.values()
        return record.offset, record.value.decode()

    def rewind(self):
        for p in self._consumer.assignment():
            offset = _raised(self._consumer.committed, p, timeout_ms=LIMIT_S * 1000)
            if offset is None:
                self._consumer.seek_to_beginning(p)
            else:
                self._consumer.seek(p, offset)

    def close(self):
        self._consumer.close()


# --- Java ---

class Java:
    """Kafka's own clients of one version, in one process: see java/Clients.java."""

    def __init__(self, version):
        self.name, self.v2 = "java-" + version, not version.startswith("3.")
        # An EndTxn of V2 that comes after the coordinator's abort counts as a retry with another outcome.
        self.after_timeout = "InvalidTxnStateException" if self.v2 else "ProducerFencedException"
        source = os.path.join(os.path.dirname(__file__), "..", "java", "Clients.java")
        self._process = subprocess.Popen(jvm.command(version, source), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                         stderr=subprocess.STDOUT, text=True)
        self._numbers, self._answers, self._lock = itertools.count(), {}, threading.Lock()
        threading.Thread(target=self._follow, daemon=True).start()

    def _follow(self):
        other = collections.deque(maxlen=30)
        for line in self._process.stdout:
            name, _, answer = line.rstrip("\n").partition(" ")
            if name in self._answers:
                self._answers[name].put(answer)
            else:
                other.append(line)
        for waiting in self._answers.values():
            waiting.put("error ProcessEnded " + "".join(other))

    def producer(self, address, transactional_id, timeout_s=60, linger_ms=0):
        return JavaProducer(self, "producer", address, transactional_id, timeout_s * 1000, linger_ms)

    def consumer(self, address, group):
        return JavaConsumer(self, "consumer", address, group)

    def new(self):
        name = "c%d" % next(self._numbers)
        self._answers[name] = queue.Queue()
        return name

    def ask(self, name, *words):
        with self._lock:
            self._process.stdin.write(" ".join([name, *map(str, words)]) + "\n")
            self._process.stdin.flush()
        outcome, _, result = self._answers[name].get(timeout=LIMIT_S + 20).partition(" ")
        if outcome == "error":
            raise Failed(*result.split(" ", 1))
        return result

    def close(self):
        self._process.kill()
        self._process.wait()


class JavaClient:
    def __init__(self, java, *made):
        self._java, self._name = java, java.new()
        self.ask(*made)

    def ask(self, *words):
        return self._java.ask(self._name, *words)

    def close(self):
        self.ask("close")


class JavaProducer(JavaClient):
    def begin(self):
        self.ask("begin")

    def send(self, topic, value, partition=0):
        self.ask("send", topic, partition, value)

    def send_all(self, topic, value, partitions):
        return [None if name == "-" else name for name in self.ask("sendAll", topic, value, *partitions).split()]

    def offsets(self, group, topic, partition, offset):
        self.ask("offsets", group, topic, partition, offset)

    def commit(self):
        self.ask("commit")

    def abort(self):
        self.ask("abort")


class JavaConsumer(JavaClient):
    def committed(self, topic, partition):
        return int(self.ask("committed", topic, partition))

    def join(self, topic):
        self.ask("join", topic)

    def take(self, topic):
        offset, value = self.ask("take", topic).split(" ")
        return int(offset), value

    def rewind(self):
        self.ask("rewind")


KINDS = {"java-4.4.0": lambda: Java("4.4.0"), "java-3.9.2": lambda: Java("3.9.2"), "confluent": Confluent,
         "kafka-python": KafkaPython}
