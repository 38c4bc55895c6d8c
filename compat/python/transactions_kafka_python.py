"""The application of test_connections.py with kafka-python. See there for what it does."""

import sys
import threading

from kafka import KafkaProducer, TopicPartition
from kafka.structs import OffsetAndMetadata

from connections import THREADS, is_aborted, values

WITHIN_S = 30


def main(address, topic, transactional_id, transactions, timeout_ms):
    producer = KafkaProducer(bootstrap_servers=address, transactional_id=transactional_id,
                             request_timeout_ms=int(timeout_ms))

    def send(i, thread, sent):
        sent.extend(producer.send(topic, value=value, partition=thread) for value in values(i, thread))
    producer.init_transactions()
    for i in range(int(transactions)):
        producer.begin_transaction()
        sent = []
        threads = [threading.Thread(target=send, args=(i, n, sent)) for n in range(THREADS)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        offsets = {TopicPartition(topic, 0): OffsetAndMetadata(i + 1, "", -1)}
        producer.send_offsets_to_transaction(offsets, transactional_id)
        for future in sent:
            future.get(WITHIN_S)
        if is_aborted(i):
            producer.abort_transaction()
        else:
            producer.commit_transaction()
    producer.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
