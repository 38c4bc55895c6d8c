"""Client telemetry (KIP-714): stock clients push the metrics that a subscription asks for, and the broker shows them."""

import re
import subprocess
import urllib.request

import pytest

import cf
import jvm
import kp
from wait import until

CLIENT_METRICS = "org.apache.kafka.tools.ClientMetricsCommand"
RECORDS = 2000
PUSHED_WITHIN_S = 60


def shown(broker, family):
    """The samples of a family of client metrics at /metrics, by the name of the metric."""
    with urllib.request.urlopen("http://%s/metrics" % broker.admin, timeout=10) as answer:
        text = answer.read().decode()
    return {name: float(value) for name, value in
            re.findall(r'^%s\{metric="([^"]+)"\} (\S+)$' % re.escape(family), text, re.MULTILINE)}


def subscribe(broker, name, metrics):
    """A subscription, made with Kafka's own tool."""
    jvm.run("4.4.0", CLIENT_METRICS, "--bootstrap-server", broker.address, "--alter", "--name", name,
            "--metrics", metrics, "--interval", 500)


class ConsoleProducer:
    """Kafka's console producer, which sends what it is told and runs on."""

    def __init__(self, version, address, topic):
        self._process = subprocess.Popen(
            jvm.command(version, jvm.PRODUCER[version], "--bootstrap-server", address, "--topic", topic),
            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def send(self, records):
        self._process.stdin.write(b"payment\n" * records)
        self._process.stdin.flush()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._process.kill()
        self._process.wait()
        self._process.stdin.close()


@pytest.mark.own_broker
@pytest.mark.parametrize("version", jvm.VERSIONS)
def test_java_pushes(mortal, name, version):
    """The Java client, as it is by default, pushes what it has counted: every record that two producers sent, once."""
    subscribe(mortal, name, "org.apache.kafka.producer.")
    topic = kp.create_topic(mortal.address, name, 1)

    def counted():
        return shown(mortal, "once_client_metric_total").get("org.apache.kafka.producer.record.send.total")
    with ConsoleProducer(version, mortal.address, topic) as one, \
            ConsoleProducer(version, mortal.address, topic) as other:
        one.send(RECORDS)
        until("the records of one are counted", lambda: counted() == RECORDS, PUSHED_WITHIN_S)
        one.send(RECORDS)
        other.send(RECORDS)
        until("all records are counted", lambda: counted() == 3 * RECORDS, PUSHED_WITHIN_S)
        latency = shown(mortal, "once_client_metric_value")
        assert latency["org.apache.kafka.producer.request.latency.max"] > 0, latency


@pytest.mark.own_broker
def test_librdkafka_pushes(mortal, name):
    """librdkafka, as it is by default, pushes while it runs; a subscription for other clients asks it for nothing."""
    topic = kp.create_topic(mortal.address, name, 1)
    subscribe(mortal, name, "org.apache.kafka.producer.")
    jvm.run("4.4.0", CLIENT_METRICS, "--bootstrap-server", mortal.address, "--alter", "--name", name + "-others",
            "--metrics", "*", "--interval", 500, "--match", "client_software_name=apache-kafka-java")
    sender = cf.producer(mortal.address)
    failures = []

    def pushed():
        cf.send(sender, topic, b"x", failures=failures)
        assert sender.flush(30) == 0 and not failures, failures
        return shown(mortal, "once_client_metric_observed_sum").get("org.apache.kafka.producer.request.latency.max")
    assert until("a latency is pushed", pushed, PUSHED_WITHIN_S, every_s=0.2) > 0
    names = set(shown(mortal, "once_client_metric_total")) | set(shown(mortal, "once_client_metric_value"))
    assert all(n.startswith("org.apache.kafka.producer.") for n in names), names
