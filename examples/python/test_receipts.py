import os
import time

import pytest
from confluent_kafka import OFFSET_BEGINNING, Consumer, Producer, TopicPartition
from receipts import Receipts
from testcontainers.community.kafka import KafkaContainer


@pytest.fixture(scope="session")
def address():
    """A broker for all tests of this run."""
    with KafkaContainer(os.environ.get("ONCE_IMAGE", "once:8.1.0")).with_kraft() as kafka:
        yield kafka.get_bootstrap_server()


def test_each_payment_gets_one_receipt(address):
    produce(address, "payments", "10", "20", "30")
    failures = []

    def write(payment):
        if payment.value() == b"30" and not failures:
            failures.append("receipts of the same transaction have been sent already")
            raise RuntimeError("the printer is out of paper")
        return b"received " + payment.value()

    application = Receipts(address, "receipts-1")
    done, end = 0, time.monotonic() + 60
    while done < 3 and time.monotonic() < end:
        done += application.step(write)
    application.close()

    assert failures
    produce(address, "receipts", "end")
    assert read_until(address, "receipts", "end") == ["received 10", "received 20", "received 30", "end"]


def produce(address, topic, *values):
    producer = Producer({"bootstrap.servers": address})
    for value in values:
        producer.produce(topic, value)
    assert producer.flush(20) == 0


def read_until(address, topic, last):
    """Reads what is committed in a topic, from its beginning to the record with this value."""
    consumer = Consumer({"bootstrap.servers": address, "group.id": "test", "isolation.level": "read_committed"})
    consumer.assign([TopicPartition(topic, 0, OFFSET_BEGINNING)])
    values, end = [], time.monotonic() + 20
    while last not in values:
        assert time.monotonic() < end, f"read {values}, and then nothing"
        message = consumer.poll(1)
        if message and not message.error():
            values.append(message.value().decode())
    consumer.close()
    return values
