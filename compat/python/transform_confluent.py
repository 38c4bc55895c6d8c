"""Consume-transform-produce with confluent-kafka, until the input's present end. The job is JSON in argv[1]."""

import json
import sys

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer

# When its only broker goes away, librdkafka 2.16 starts over from the bootstrap list by default, and a producer
# with a transaction open does not always find back to its partitions then, with Apache Kafka neither.
STAY = {"metadata.recovery.strategy": "none"}


def main(job):
    producer = Producer({"bootstrap.servers": job["address"], "transactional.id": job["transactional_id"], **STAY})
    producer.init_transactions(30)
    settings = {"bootstrap.servers": job["address"], "group.id": job["group"], "isolation.level": "read_committed",
                "enable.auto.commit": False, "enable.partition.eof": True, "auto.offset.reset": "earliest",
                "session.timeout.ms": job["session_ms"], "heartbeat.interval.ms": 500, **STAY}
    if job["protocol"] == "consumer":  # the broker says how long a session is
        settings = {k: v for k, v in settings.items() if k not in ("session.timeout.ms", "heartbeat.interval.ms")}
        settings["group.protocol"] = "consumer"
    if job["instance"]:
        settings["group.instance.id"] = job["instance"]
    consumer = Consumer(settings)
    ended = set()
    consumer.subscribe([job["input"]], on_assign=lambda *_: ended.clear())
    transactions = 0
    while len(ended) < 2:
        records = []
        for m in consumer.consume(job["batch"], timeout=0.3):
            if m.error() is None:
                records.append(m)
            elif m.error().code() == KafkaError._PARTITION_EOF:
                ended.add(m.partition())
            else:
                raise KafkaException(m.error())
        if not records:
            continue
        transactions += 1
        producer.begin_transaction()
        for m in records:
            producer.produce(job["output"], key=m.key(), value=b"out-" + m.value(), partition=m.partition())
        producer.flush()
        producer.send_offsets_to_transaction(consumer.position(consumer.assignment()), consumer.consumer_group_metadata(), 30)
        if transactions == job["pause_before_commit"]:
            print("PAUSED", flush=True)
            sys.stdin.readline()
        producer.commit_transaction(30)
    print("DONE", flush=True)
    consumer.close()


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
