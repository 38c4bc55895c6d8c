"""What the lab is for: hard moments of exactly-once programs, brought about over HTTP under stock clients."""

import contextlib
import datetime
import os
import pathlib
import re
import subprocess
import sys
import threading
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "examples" / "lab" / "python"))

import cf
import clients
import jvm
import kp
import test_streams as streams
from broker import Own
from once_lab import Lab, LabError
from wait import until

pytestmark = pytest.mark.own_broker

ALL = list(clients.KINDS)
WITHIN_S = 40


@contextlib.contextmanager
def cluster_of(broker):
    """The lab of a new cluster, whose rules must have fired."""
    lab = Lab("http://" + broker.admin).new_cluster()
    try:
        yield lab
        lab.heal()
    finally:
        lab.delete()


@pytest.fixture
def lab(broker):
    with cluster_of(broker) as made:
        yield made


@pytest.fixture(scope="session")
def kinds():
    made = {}
    yield made
    for kind in made.values():
        kind.close()


@pytest.fixture
def client(request, kinds):
    if request.param not in kinds:
        kinds[request.param] = clients.KINDS[request.param]()
    return kinds[request.param]


def held_with(*names):
    return pytest.mark.parametrize("client", names, indirect=True)


@contextlib.contextmanager
def later(call, *args):
    """The future of a call that runs beside the test."""
    with ThreadPoolExecutor(1) as pool:
        yield pool.submit(call, *args)


def requests(lab, **query):
    """The requests that the cluster remembers."""
    return lab.call("GET", "/requests", **query)


def answered_with(lab, code, **query):
    return [r for r in requests(lab, **query) if code in r["codes"]]


def instant(text):
    """The seconds of a time like 2030-01-01T00:00:00.123456789Z."""
    whole = datetime.datetime.strptime(text[:19], "%Y-%m-%dT%H:%M:%S").replace(tzinfo=datetime.timezone.utc)
    return whole.timestamp() + float("0" + text[19:-1])


def seconds(duration):
    """The seconds of a duration like 1.5s, 3ms or 812µs."""
    number, unit = re.fullmatch(r"([\d.]+)(s|ms|µs)", duration).groups()
    return float(number) * {"s": 1, "ms": 1e-3, "µs": 1e-6}[unit]


def transaction(producer, *sent):
    """A committed transaction with records (topic, partition, value)."""
    producer.begin()
    for topic, partition, value in sent:
        producer.send(topic, value, partition)
    producer.commit()


# --- the answer to a commit is lost ---

@held_with(*ALL)
def test_lost_commit_answer(lab, client):
    """The answer to a commit is lost: the client asks again and succeeds, the records are there once."""
    gap = lab.fault({"loseAnswer": True}, api="EndTxn")
    producer = client.producer(lab.bootstrap, "pay")
    transaction(producer, ("orders", 0, "a"))
    assert lab.values("orders") == ["a"]
    assert gap.state()["triggered"] == 1
    first, again = requests(lab, api="EndTxn", transactionalId="pay")
    assert (first["outcome"], first["fault"]) == ("closed", gap.id)
    assert (again["outcome"], again["codes"]) == ("answered", ["NONE"])
    assert (again["version"] >= 5) == client.v2
    transaction(producer, ("orders", 0, "b"))
    assert lab.values("orders") == ["a", "b"]
    producer.close()


# --- coordinators load again ---

@held_with(*ALL)
def test_coordinators_load_again(lab, client):
    """The coordinators load again, time after time, while a client commits records with offsets: all is there once."""
    transactions, over = 20, threading.Event()

    def load_again():
        times = 0
        while not over.is_set():
            lab.call("POST", "/coordinators/reload")
            times += 1
        return times

    producer = client.producer(lab.bootstrap, "pay")
    with later(load_again) as loads:
        try:
            for i in range(transactions):
                producer.begin()
                producer.send("orders", str(i))
                producer.offsets("billing", "orders", 0, i + 1)
                producer.commit()
        finally:
            over.set()
        assert loads.result() > transactions
    assert lab.values("orders") == [str(i) for i in range(transactions)]
    assert client.consumer(lab.bootstrap, "billing").committed("orders", 0) == transactions
    producer.close()


# --- each request of a transaction ---

# What a client may be answered and asks again.
RETRIABLE = {"FindCoordinator": "COORDINATOR_NOT_AVAILABLE", "InitProducerId": "COORDINATOR_LOAD_IN_PROGRESS",
             "AddPartitionsToTxn": "CONCURRENT_TRANSACTIONS", "Produce": "NOT_LEADER_OR_FOLLOWER",
             "AddOffsetsToTxn": "NOT_COORDINATOR", "TxnOffsetCommit": "COORDINATOR_LOAD_IN_PROGRESS",
             "EndTxn": "NOT_COORDINATOR"}
MISHAPS = {
    "request lost": lambda api: {"loseRequest": True},
    "answer lost": lambda api: {"loseAnswer": True},
    "carried out twice": lambda api: {"duplicate": True},
    "refused and carried out": lambda api: {"error": RETRIABLE[api], "carriedOut": True},
}


@held_with(*ALL)
@pytest.mark.parametrize("mishap", MISHAPS)
def test_each_request_of_a_transaction(lab, client, mishap):
    """Each request of a transaction meets the same mishap once: records and offsets are committed once."""
    for api in RETRIABLE:
        if client.v2 and api.startswith("Add"):
            continue  # it sends none
        if api == "InitProducerId" and mishap == "carried out twice":
            continue  # the second one fences the producer
        lab.fault(MISHAPS[mishap](api), api=api)
    producer = client.producer(lab.bootstrap, "pay")
    producer.begin()
    producer.send("orders", "a")
    producer.offsets("billing", "orders", 0, 7)
    producer.commit()
    offset, = lab.call("GET", "/groups/billing")["offsets"]
    assert (offset["committed"], offset["pending"]) == (7, False)
    lab.heal()
    transaction(producer, ("orders", 0, "b"))
    assert lab.values("orders") == ["a", "b"]
    producer.close()


# --- between the decision and its markers ---

@held_with("java-4.4.0", "confluent", "kafka-python")
def test_next_transaction_meets_concurrent_transactions(lab, client):
    """A marker is held: the next transaction meets CONCURRENT_TRANSACTIONS, and succeeds when it is written."""
    lab.call("POST", "/topics", [{"name": "orders", "partitions": 2}])
    marker = lab.fault({"hold": True}, point="txn.marker", topic="orders", partition=1)
    producer = client.producer(lab.bootstrap, "pay")
    transaction(producer, ("orders", 0, "a"), ("orders", 1, "a"))
    with later(transaction, producer, ("orders", 0, "b"), ("orders", 1, "b")) as second:
        until("the next transaction is refused",
              lambda: answered_with(lab, "CONCURRENT_TRANSACTIONS", transactionalId="pay"), WITHIN_S)
        assert lab.values("orders", 0) == ["a"] and lab.values("orders", 1) == []
        assert not second.done()
        assert marker.release() == 1
        second.result(WITHIN_S)
    assert [lab.values("orders", p) for p in (0, 1)] == [["a", "b"], ["a", "b"]]
    refused = {r["api"] for r in answered_with(lab, "CONCURRENT_TRANSACTIONS", transactionalId="pay")}
    assert refused == ({"Produce"} if client.v2 else {"AddPartitionsToTxn"})
    producer.close()


@held_with("java-4.4.0", "confluent", "kafka-python")
def test_reader_of_offsets_meets_unstable_offset_commit(lab, client):
    """The marker of a group's offsets is held: who asks for them meets UNSTABLE_OFFSET_COMMIT, and waits."""
    marker = lab.fault({"hold": True}, point="txn.marker", group="billing")
    producer = client.producer(lab.bootstrap, "pay")
    producer.begin()
    producer.send("orders", "a")
    producer.offsets("billing", "orders", 0, 7)
    producer.commit()
    consumer = client.consumer(lab.bootstrap, "billing")
    with later(consumer.committed, "orders", 0) as committed:
        until("the offset is refused", lambda: answered_with(lab, "UNSTABLE_OFFSET_COMMIT", group="billing"), WITHIN_S)
        assert not committed.done()
        assert marker.release() == 1
        assert committed.result(WITHIN_S) == 7
    assert {r["api"] for r in answered_with(lab, "UNSTABLE_OFFSET_COMMIT")} == {"OffsetFetch"}
    assert lab.values("orders") == ["a"]
    consumer.close()
    producer.close()


@held_with("java-4.4.0", "java-3.9.2", "confluent", "kafka-python")
def test_held_marker_holds_nothing_else(broker, lab, client):
    """A marker of one partition is held: the other one is read, other transactions time out, no goroutine waits."""
    lab.call("POST", "/topics", [{"name": "orders", "partitions": 2}, {"name": "others"}])
    other = client.producer(lab.bootstrap, "other", timeout_s=900)
    other.begin()
    other.send("others", "late")
    marker = lab.fault({"hold": True}, point="txn.marker", topic="orders", partition=1)
    producer = client.producer(lab.bootstrap, "pay")
    transaction(producer, ("orders", 0, "a"), ("orders", 1, "b"))
    assert kp.values(cf.read(lab.bootstrap, "orders")) == [b"a"]
    with later(transaction, producer, ("orders", 0, "c")) as second:
        until("the next transaction is refused",
              lambda: answered_with(lab, "CONCURRENT_TRANSACTIONS", transactionalId="pay"), WITHIN_S)
        until("no goroutine waits", lambda: not waiting_goroutines(broker))
        moved = lab.call("POST", "/clock", {"advance": "16m"})
        assert [(d["what"], d["transactionalId"]) for d in moved["did"]] == [("aborted transaction", "other")]
        assert [(t["transactionalId"], t["state"]) for t in moved["pending"]] == [("pay", "PrepareCommit")]
        assert lab.values("others", fate="aborted") == ["late"]
        assert marker.release() == 1
        second.result(WITHIN_S)
    lab.wait_for(partition={"topic": "orders", "partition": 0, "records": 2})
    assert kp.values(cf.read(lab.bootstrap, "orders")) == [b"a", b"c", b"b"]
    for p in (producer, other):
        p.close()


def waiting_goroutines(broker):
    """The stacks of goroutines that stand in a handler or in the transaction coordinator for a request."""
    with urllib.request.urlopen("http://%s/debug/pprof/goroutine?debug=2" % broker.admin, timeout=30) as answer:
        stacks = answer.read().decode().split("\n\n")
    return [s for s in stacks if "once/handlers." in s and "once/txncoordinator." in s]


# --- time ---

@held_with("java-4.4.0", "kafka-python", "confluent")
def test_quarter_of_an_hour_passes(lab, client):
    """A transaction of 15 minutes is aborted by moving the clock; its producer is fenced, a member of a group stays."""
    lab.call("POST", "/topics", [{"name": "orders"}, {"name": "others", "records": [{"value": "x"}]}])
    producer = client.producer(lab.bootstrap, "pay", timeout_s=900)
    producer.begin()
    producer.send("orders", "late")
    member = client.consumer(lab.bootstrap, "billing")
    member.join("others")
    joined = {"id": "billing", "state": "Stable", "members": 1}
    before = lab.wait_for(group=joined)["members"]
    began = time.monotonic()
    did = lab.advance("16m")
    assert time.monotonic() - began < 5
    assert [(d["what"], d["transactionalId"]) for d in did] == [("aborted transaction", "pay")]
    with pytest.raises(clients.Failed) as refused:
        producer.commit()
    assert refused.value.name == client.after_timeout
    with pytest.raises(clients.Failed):
        producer.begin()
    moved = requests(lab, limit=1)[0]["id"]
    beats = until("the member's next heartbeat",
                  lambda: requests(lab, api="Heartbeat", group="billing", since=moved), WITHIN_S)
    assert beats[0]["codes"] == ["NONE"]
    assert lab.wait_for(group=joined)["members"] == before
    assert lab.values("orders") == [] and lab.values("orders", fate="aborted") == ["late"]
    member.close()
    producer.close()


# --- an error at the n-th time, and a rule that never fires ---

@held_with(*ALL)
def test_offsets_of_an_older_generation(lab, client):
    """The third commit of offsets gets ILLEGAL_GENERATION: the program aborts and reads again; each output once."""
    inputs = ["%02d" % i for i in range(10)]
    lab.call("POST", "/topics", [{"name": "in", "records": [{"value": v} for v in inputs]}, {"name": "out"}])
    lab.fault({"error": "ILLEGAL_GENERATION"}, when={"nth": 3}, api="TxnOffsetCommit", group="copiers")
    consumer = client.consumer(lab.bootstrap, "copiers")
    producer = client.producer(lab.bootstrap, "copier")
    copied, aborts = 0, 0
    while copied < len(inputs):
        offset, value = consumer.take("in")
        producer.begin()
        producer.send("out", value)
        try:
            producer.offsets("copiers", "in", 0, offset + 1)
            producer.commit()
            copied += 1
        except clients.Failed:
            producer.abort()
            consumer.rewind()
            aborts += 1
    consumer.close()
    producer.close()
    assert aborts == 1 and lab.values("out", fate="aborted") == ["02"]
    verdict = lab.call("POST", "/verify", {"input": "in", "output": "out", "key": "value", "group": "copiers"})
    assert verdict["ok"] and (verdict["inputs"], verdict["outputs"]) == (10, 10)


# librdkafka sends a Produce for each partition; kafka-python cannot abort then (README, found in the clients).
@held_with("java-4.4.0")
def test_producer_unknown_in_one_partition(lab, client):
    """One partition of a Produce gets UNKNOWN_PRODUCER_ID: the other one's part is stored; a retry or an abort mends it."""
    lab.call("POST", "/topics", [{"name": "orders", "partitions": 2}])
    lab.fault({"error": "UNKNOWN_PRODUCER_ID"}, when={"nth": 2}, api="Produce", topic="orders", partition=1)
    producer = client.producer(lab.bootstrap, "pay", linger_ms=200)

    def send(value):
        producer.begin()
        return producer.send_all("orders", value, [0, 1])
    assert send("a") == [None, None]
    producer.commit()
    stored, refused = send("b")
    assert len(answered_with(lab, "UNKNOWN_PRODUCER_ID", api="Produce")) == 1 and stored is None
    if refused is not None:
        producer.abort()
        assert [lab.values("orders", p, "aborted") for p in (0, 1)] == [["b"], []]
        assert send("b") == [None, None]
    producer.commit()
    assert [lab.values("orders", p) for p in (0, 1)] == [["a", "b"], ["a", "b"]]
    assert len(requests(lab, api="Produce")) == 3  # each with both partitions, but for a retry
    producer.close()


def test_rule_that_never_fires(broker):
    """A rule that never fired makes DELETE /faults?requireTriggered=true a 409 that names it, and is gone."""
    with cluster_of(broker) as lab:
        lab.fault({"error": "NOT_COORDINATOR"}, name="never", api="TxnOffsetCommit")
        with pytest.raises(LabError) as e:
            lab.heal()
        assert e.value.status == 409
        assert e.value.answer["neverTriggered"] == [{"id": "f1", "name": "never"}]
        assert lab.call("GET", "/faults") == []


# --- what Kafka's own tools end, and what is refused at the start ---

def test_hanging_transaction_is_found_and_aborted(lab):
    """A transaction hangs: kafka-transactions find-hanging names it, and abort ends it."""
    producer = clients.Confluent().producer(lab.bootstrap, "pay")
    producer.begin()
    producer.send("orders", "a")
    hanging = lab.transaction("pay", "hang")
    plain = cf.producer(lab.bootstrap)
    cf.send(plain, "orders", "b")
    assert plain.flush(30) == 0
    assert cf.read(lab.bootstrap, "orders") == []

    def tool(*words):
        name = "org.apache.kafka.tools.TransactionsCommand"
        return jvm.run("4.4.0", name, "--bootstrap-server", lab.bootstrap, *words).decode()
    found = tool("find-hanging", "--topic", "orders", "--max-transaction-timeout", 0).splitlines()
    columns, row = found[0].split(), found[1].split()
    assert len(found) == 2 and row[:3] == ["orders", "0", str(hanging["producerId"])], found
    assert row[columns.index("StartOffset")] == "0"
    tool("abort", "--topic", "orders", "--partition", 0, "--start-offset", 0)
    assert kp.values(cf.read(lab.bootstrap, "orders")) == [b"b"]
    assert lab.values("orders", fate="aborted") == ["a"]


@pytest.mark.parametrize("name, text, wrong", [
    ("seed.yaml", "- name: orders\n  records:\n  - kye: a\n", "line 3: [0].records[0].kye"),
    ("seed.json", '[{"name": "orders",\n"partitions": "two"}]', "line 2: [0].partitions"),
], ids=["yaml", "json"])
def test_seed_with_a_mistake(tmp_path, name, text, wrong):
    """A mistake in the file of --seed: exit code 2, file, line and field are named, nothing is started."""
    (tmp_path / name).write_text(text)
    ran = subprocess.run([os.environ["COMPAT_BROKER"], "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0",
                          "--data-dir", tmp_path / "data", "--seed", tmp_path / name],
                         capture_output=True, text=True, timeout=30)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert name in ran.stderr and wrong in ran.stderr
    assert os.listdir(tmp_path) == [name]


# --- Kafka Streams ---

STREAM_THREADS = 2  # of an instance


@pytest.mark.timeout(150)
def test_streams_instance_in_a_black_hole(lab, tmp_path):
    """An instance of Kafka Streams in a black hole: the other takes over, the first is fenced, counts are exact."""
    name = "words"
    lab.call("POST", "/topics", [{"name": name + of, "partitions": streams.PARTITIONS} for of in ("-words", "-counts")])
    feeder = streams.Feeder(lab.bootstrap, name + "-words")

    def written_by(instance):
        produced = requests(lab, client=instance + "-*", api="Produce")
        return {i for r in produced for i in r.get("transactionalIds", [])}

    def open_transactions():
        return {t["transactionalId"] for t in lab.call("GET", "/transactions", open="true")}

    def fenced():
        codes = {"PRODUCER_FENCED", "INVALID_PRODUCER_EPOCH"}
        return [r for r in requests(lab, client="one-*") if codes & set(r["codes"])]
    # The first one commits every ten minutes, so that its transactions are open.
    with streams.instance(lab.bootstrap, name, tmp_path, 1, "one", 600_000) as first, \
            streams.instance(lab.bootstrap, name, tmp_path, 2, "two", 100) as second:
        for instance in (first, second):
            streams.running(instance)

        def both_work():
            feeder.feed(5)
            return written_by("two") and written_by("one") & open_transactions()
        until("both instances write", both_work, WITHIN_S, every_s=0.5)
        writes = lab.fault({"blackhole": True}, {"always": True}, api="Produce", clientId="one-*")
        until("the first one writes into the black hole",
              lambda: feeder.feed(5) or writes.state()["triggered"], WITHIN_S, every_s=0.5)
        hears = lab.fault({"blackhole": True}, {"always": True}, clientId="one-*-consumer")
        until("its members hear nothing", lambda: STREAM_THREADS == len(
            {r["clientId"] for r in requests(lab, client="one-*") if r.get("fault") == hears.id}), WITHIN_S)
        until("the second one has done its part", lambda: lab.wait_for(idle="500ms", timeout="20s") and
              open_transactions() <= written_by("one"), WITHIN_S)
        did = [d["what"] for d in lab.advance("11m")]
        assert did.count("removed member") == STREAM_THREADS and did.count("aborted transaction") > 0, did
        streams.await_counts(lab.bootstrap, name + "-counts", feeder.fed, within_s=60)
        assert not fenced()
        lab.call("DELETE", "/faults/" + writes.id)
        until("the first one is fenced", fenced, WITHIN_S)
        lab.call("DELETE", "/faults/" + hears.id)
        feeder.feed(5)
        counts = streams.await_counts(lab.bootstrap, name + "-counts", feeder.fed, within_s=60)
    for word, of in counts.items():
        assert of == list(range(1, feeder.fed + 1)), "%s was not counted once each time" % word


def test_streams_group_assigns_anew(lab, tmp_path):
    """A streams group assigns anew and its coordinator loads again, time after time: it works on, counts are exact."""
    name = "words"
    lab.call("POST", "/topics", [{"name": name + of, "partitions": streams.PARTITIONS} for of in ("-words", "-counts")])
    feeder = streams.Feeder(lab.bootstrap, name + "-words")
    with streams.instance(lab.bootstrap, name, tmp_path, 1, "one", 100) as instance:
        streams.running(instance)
        for _ in range(3):
            feeder.feed(5)
            assert lab.call("POST", "/groups/%s/rebalance" % name)["type"] == "streams"
            lab.call("POST", "/coordinators/reload")
            lab.wait_for(group={"id": name, "state": "Stable"}, timeout="40s")
            streams.await_counts(lab.bootstrap, name + "-counts", feeder.fed, within_s=60)
        counts = streams.await_counts(lab.bootstrap, name + "-counts", feeder.fed, within_s=60)
    for word, of in counts.items():
        assert of == list(range(1, feeder.fed + 1)), "%s was not counted once each time" % word


# --- a commit that is answered before its markers are written ---

@held_with("java-4.4.0")
def test_delayed_markers_are_kafkas_order(tmp_path, client):
    """A standing rule delays markers: with --strict, EndTxn answers before they are written, as in Kafka."""
    strict = Own(os.environ["COMPAT_BROKER"], str(tmp_path), ("strict=true",)).start()
    try:
        with cluster_of(strict) as lab:
            lab.fault({"delay": "700ms"}, {"always": True}, point="txn.marker")
            producer = client.producer(lab.bootstrap, "pay")
            values = ["a", "b", "c"]
            for value in values:
                transaction(producer, ("orders", 0, value))
            lab.wait_for(partition={"topic": "orders", "partition": 0, "records": 3})
            assert lab.values("orders") == values
            ends = requests(lab, api="EndTxn")
            done = [t["at"] for t in lab.transaction("pay")["transitions"] if t["state"] == "CompleteCommit"]
            assert len(ends) == len(done) == 3
            for end, complete in zip(ends, done):
                assert instant(end["at"]) + seconds(end["took"]) < instant(complete)
            assert answered_with(lab, "CONCURRENT_TRANSACTIONS", api="Produce")
            producer.close()
    finally:
        strict.stop()
