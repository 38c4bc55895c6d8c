"""What a client on the host does, with confluent-kafka."""

import time

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, Producer, TopicPartition

LIMIT_S = 20


def transact(address, topic, values, commit=True):
    """Sends records in one transaction, and commits or aborts it."""
    producer = Producer({"bootstrap.servers": address, "transactional.id": "modules"})
    producer.init_transactions(LIMIT_S)
    producer.begin_transaction()
    for value in values:
        producer.produce(topic, value, on_delivery=raise_error)
    producer.flush(LIMIT_S)
    if commit:
        producer.commit_transaction(LIMIT_S)
    else:
        producer.abort_transaction(LIMIT_S)


def raise_error(error, _):
    if error:
        raise KafkaException(error)


def values(address, topic, count):
    """Reads a topic from its beginning, read_committed, until it has read so many records."""
    consumer = Consumer({"bootstrap.servers": address, "group.id": "modules", "isolation.level": "read_committed"})
    consumer.assign([TopicPartition(topic, 0, OFFSET_BEGINNING)])
    read, end = [], time.monotonic() + LIMIT_S
    while len(read) < count:
        assert time.monotonic() < end, f"read {read}, and then nothing"
        message = consumer.poll(1)
        if message is None:
            continue
        if message.error():
            raise KafkaException(message.error())
        read.append(message.value().decode())
    consumer.close()
    return read
