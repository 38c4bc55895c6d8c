"""Short forms of kafka-python used by several checks. Nothing here changes the client."""

from collections import Counter, namedtuple

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import NewTopic

from wait import until

Read = namedtuple("Read", "partition offset key value")


def create_topic(address, topic, partitions=1):
    admin = KafkaAdminClient(bootstrap_servers=address)
    try:
        admin.create_topics([NewTopic(topic, partitions, 1)])
        admin.wait_for_topics([topic])
    finally:
        admin.close()
    return topic


def producer(address, **config):
    return KafkaProducer(bootstrap_servers=address, **config)


def ends(address, topic, isolation):
    """End offset of each partition: the last stable offset for read_committed, else the high watermark."""
    consumer = KafkaConsumer(bootstrap_servers=address, isolation_level=isolation)
    try:
        return _ends(consumer, topic)
    finally:
        consumer.close()


def _ends(consumer, topic):
    partitions = [TopicPartition(topic, p) for p in sorted(consumer.partitions_for_topic(topic))]
    return {tp.partition: offset for tp, offset in consumer.end_offsets(partitions).items()}


def await_stable(address, topic, within_s=15):
    """Wait until no transaction is open in the topic; the end offsets then."""
    def settled():
        committed = ends(address, topic, "read_committed")
        return committed if committed == ends(address, topic, "read_uncommitted") else None
    return until("the last stable offset of %s reaches its end" % topic, settled, within_s)


def read(address, topic, isolation="read_committed", within_s=30, **config):
    """Every record from the beginning to the end offset of that isolation level, in offset order."""
    consumer = KafkaConsumer(bootstrap_servers=address, isolation_level=isolation, auto_offset_reset="earliest",
                             enable_auto_commit=False, fetch_max_wait_ms=100, **config)
    records = []
    try:
        partitions = [TopicPartition(topic, p) for p in sorted(consumer.partitions_for_topic(topic))]
        consumer.assign(partitions)
        consumer.seek_to_beginning()
        targets = consumer.end_offsets(partitions)

        def at_end():
            for batch in consumer.poll(timeout_ms=100).values():
                records.extend(Read(r.partition, r.offset, r.key, r.value) for r in batch)
            return all(consumer.position(tp) >= target for tp, target in targets.items())
        until("the reader gets to the end of %s" % topic, at_end, within_s, every_s=0)
    finally:
        consumer.close()
    return sorted(records, key=lambda r: (r.partition, r.offset))


def values(records):
    return [r.value for r in records]


def assert_exactly_once(expected, records):
    """Each expected value is there once and nothing else is."""
    got, want = Counter(values(records)), Counter(expected)
    lost, extra = want - got, got - want
    assert not lost and not extra, "%d lost, e.g. %r; %d too many, e.g. %r" % (
        sum(lost.values()), sorted(lost)[:5], sum(extra.values()), sorted(extra)[:5])


def assert_ordered_by_key(records, number):
    """Within a key, number(record) only grows in the order of offsets."""
    last = {}
    for r in records:
        n = number(r)
        assert r.key not in last or last[r.key] < n, "key %r: %d after %d" % (r.key, n, last[r.key])
        last[r.key] = n
