"""Clients that keep a single connection to the coordinator of their transactional ID.

The broker protects those against requests that come late (docs/decisions/0010-late-requests.md), and knows them by
the names in handlers/older_connection.go. A name stands there because the checks here pass for the stock client.

Each client runs the same application, as a process of its own: a number of transactions, of which every third is
aborted. In each, four threads send side by side, each to a partition of its own, and the offset of a group is added.
"""

import os
import subprocess
import sys
from dataclasses import dataclass

import pytest

import jvm
import kp
import proxy as wire
from broker import running
from connections import THREADS, is_aborted, values

pytestmark = pytest.mark.own_broker
TIMEOUT_MS = 1500  # after which a client gives up a request, and the connection with it
HERE = os.path.dirname(os.path.abspath(__file__))


def python(script, *more):
    return lambda *job: [sys.executable, os.path.join(HERE, script), *job, *more]


def program(name):
    return lambda *job: [os.path.join(os.environ["COMPAT_PROGRAMS"], name), *job]


def java(version, source="Transactions.java"):
    return lambda *job: jvm.command(version, os.path.join(HERE, "..", "java", source), *job)


@dataclass
class Client:
    software: str  # its name in ApiVersions
    command: object  # what runs the application with it
    resends: bool = True  # after a request that was not answered in time


CLIENTS = {
    "java-3.9": Client("apache-kafka-java", java("3.9.2")),
    "java-4.4": Client("apache-kafka-java", java("4.4.0")),
    "confluent": Client("confluent-kafka-python", python("transactions_confluent.py")),
    "librdkafka": Client("librdkafka", python("transactions_confluent.py", "librdkafka")),
    "kafka-python": Client("kafka-python", python("transactions_kafka_python.py"), resends=False),
    "confluent-go": Client("confluent-kafka-go", program("transactions-confluent-go")),
    "franz-go": Client("kgo", program("transactions-go")),
}


@pytest.fixture(params=CLIENTS)
def client(request):
    return CLIENTS[request.param]


@pytest.fixture(scope="module")
def before_v2():
    """A broker for which every client is one from before transactions V2."""
    with running("transaction.version=1") as broker:
        yield broker


@pytest.fixture
def through(before_v2):
    p = wire.Proxy(before_v2.address)
    yield p
    p.close()


def execute(command):
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          timeout=60)
    assert done.returncode == 0, done.stdout.decode(errors="replace")[-4000:]


def run(address, through, name, command, transactions):
    """Run the application, and see each record of its committed transactions once and no other."""
    topic = kp.create_topic(address, name, THREADS)
    execute(command(through.address, topic, name, str(transactions), str(TIMEOUT_MS)))
    kp.await_stable(address, topic)
    expected = [v for i in range(transactions) if not is_aborted(i) for n in range(THREADS) for v in values(i, n)]
    kp.assert_exactly_once(expected, kp.read(address, topic))


def test_one_connection(before_v2, through, name, client):
    """Requests and answers are lost, answers are late: one connection to the coordinator at a time"""
    through.one_at_a_time = True
    lost = [through.swallow(wire.END_TXN, 2), through.cut(wire.ADD_PARTITIONS_TO_TXN, 4)]
    if client.resends:
        lost += [through.hold(wire.END_TXN, 5), through.hold(wire.ADD_OFFSETS_TO_TXN, 8)]
    run(before_v2.address, through, name, client.command, transactions=12)
    assert [rule.fired for rule in lost] == [1] * len(lost)
    assert len(through.to_coordinator) > len(lost), "a connection was lost each time"
    assert {c.software for c in through.to_coordinator} == {client.software}


def test_late_commit(before_v2, through, name, client):
    """A commit comes late, in the middle of the next transaction: it is not carried out"""
    late = through.delay(wire.END_TXN, 1, until=wire.ADD_OFFSETS_TO_TXN)
    run(before_v2.address, through, name, client.command, transactions=3)
    assert late.outcome == "closed"


@pytest.mark.parametrize("version", jvm.VERSIONS)
def test_resumed_transactions(before_v2, name, version):
    """Java producers whose transactions are committed by an older producer of the same client ID: nothing is lost"""
    transactions = 10
    topic = kp.create_topic(before_v2.address, name)
    execute(java(version, "ResumedTransactions.java")(before_v2.address, topic, name, str(transactions)))
    kp.await_stable(before_v2.address, topic)
    assert kp.values(kp.read(before_v2.address, topic)) == [b"%d" % i for i in range(transactions)]
