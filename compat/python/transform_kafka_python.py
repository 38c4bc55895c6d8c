"""Consume-transform-produce with kafka-python, until the input's present end. The job is JSON in argv[1]."""

import json
import sys

from kafka import KafkaConsumer, KafkaProducer
from kafka.structs import OffsetAndMetadata


def main(job):
    producer = KafkaProducer(bootstrap_servers=job["address"], transactional_id=job["transactional_id"], batch_size=400)
    producer.init_transactions()
    more = {"group_instance_id": job["instance"]} if job["instance"] else {}
    consumer = KafkaConsumer(job["input"], bootstrap_servers=job["address"], group_id=job["group"],
                             isolation_level="read_committed", enable_auto_commit=False, auto_offset_reset="earliest",
                             max_poll_records=job["batch"], session_timeout_ms=job["session_ms"], heartbeat_interval_ms=500,
                             fetch_max_wait_ms=100, **more)
    transactions = 0
    while not at_end(consumer):
        # It returns with the first records. A poll that ends while the group is still being joined makes
        # kafka-python 3.0.12 forget the assignment that then arrives, so the limit is above any join.
        records = [r for part in consumer.poll(timeout_ms=20_000).values() for r in part]
        if not records:
            continue
        transactions += 1
        producer.begin_transaction()
        offsets = {}
        for r in records:
            producer.send(job["output"], key=r.key, value=b"out-" + r.value, partition=r.partition)
        for tp in consumer.assignment():
            offsets[tp] = OffsetAndMetadata(consumer.position(tp), "", -1)
        producer.flush()
        producer.send_offsets_to_transaction(offsets, consumer.group_metadata())
        if transactions == job["pause_before_commit"]:
            print("PAUSED", flush=True)
            sys.stdin.readline()
        producer.commit_transaction()
    print("DONE", flush=True)
    consumer.close()
    producer.close()


def at_end(consumer):
    """Whether every partition of the input is ours and read to its end."""
    assigned = consumer.assignment()
    if len(assigned) < 2:
        return False
    ends = consumer.end_offsets(list(assigned))
    return all(consumer.position(tp) >= end for tp, end in ends.items())


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
