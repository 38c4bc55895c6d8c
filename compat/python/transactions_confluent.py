"""The application of test_connections.py with confluent-kafka. See there for what it does."""

import sys
import threading

from confluent_kafka import Consumer, Producer, TopicPartition

from connections import THREADS, is_aborted, values

WITHIN_S = 30


def main(address, topic, transactional_id, transactions, timeout_ms, software=None):
    settings = {"bootstrap.servers": address, "transactional.id": transactional_id, "linger.ms": 0,
                "socket.timeout.ms": int(timeout_ms)}
    if software:
        settings["client.software.name"] = software
    producer = Producer(settings)
    member = Consumer({"bootstrap.servers": address, "group.id": transactional_id})
    failures = []

    def told(error, _message):
        if error is not None:
            failures.append(error)

    def send(i, thread):
        for value in values(i, thread):
            producer.produce(topic, value=value, partition=thread, on_delivery=told)
    producer.init_transactions(WITHIN_S)
    for i in range(int(transactions)):
        producer.begin_transaction()
        threads = [threading.Thread(target=send, args=(i, n)) for n in range(THREADS)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        offsets = [TopicPartition(topic, 0, i + 1)]
        producer.send_offsets_to_transaction(offsets, member.consumer_group_metadata(), WITHIN_S)
        assert producer.flush(WITHIN_S) == 0 and not failures, failures
        if is_aborted(i):
            producer.abort_transaction(WITHIN_S)
        else:
            producer.commit_transaction(WITHIN_S)


if __name__ == "__main__":
    main(*sys.argv[1:])
