"""Short forms of confluent-kafka used by several checks. Nothing here changes the client."""

from confluent_kafka import Consumer, IsolationLevel, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from kp import Read
from wait import until

# What Kafka answers for a moment after a restart, before it leads its partitions again.
NOT_YET_LEADER = (KafkaError.UNKNOWN_LEADER_EPOCH, KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.LEADER_NOT_AVAILABLE)
TRANSACTION_S = 30  # the longest a transactional call may take


def producer(address, transactional_id=None, **config):
    settings = {"bootstrap.servers": address, "linger.ms": 0}
    if transactional_id:
        settings["transactional.id"] = transactional_id
    settings.update({k.replace("_", "."): v for k, v in config.items()})
    return Producer(settings)


def send(sender, topic, value, partition=0, key=None, failures=None):
    """Queue one record; flush waits for it. Its error, if any, is added to failures."""
    def told(error, _message):
        if error is not None and failures is not None:
            failures.append(error)
    sender.produce(topic, value=value, key=key, partition=partition, on_delivery=told)


def ends(address, topic, isolation):
    """End offset of each partition: the last stable offset for read_committed, else the high watermark."""
    admin = AdminClient({"bootstrap.servers": address})
    partitions = admin.list_topics(topic, timeout=10).topics[topic].partitions
    level = IsolationLevel.READ_COMMITTED if isolation == "read_committed" else IsolationLevel.READ_UNCOMMITTED
    asked = {TopicPartition(topic, p): OffsetSpec.latest() for p in partitions}

    def answered():
        answers = admin.list_offsets(asked, isolation_level=level, request_timeout=10)
        try:
            return {tp.partition: future.result().offset for tp, future in answers.items()}
        except KafkaException as e:
            if e.args[0].code() in NOT_YET_LEADER:
                return None
            raise
    return until("%s has a leader" % topic, answered)


def await_stable(address, topic, within_s=15):
    """Wait until no transaction is open in the topic; the end offsets then."""
    def settled():
        committed = ends(address, topic, "read_committed")
        return committed if committed == ends(address, topic, "read_uncommitted") else None
    return until("the last stable offset of %s reaches its end" % topic, settled, within_s)


def read(address, topic, isolation="read_committed", within_s=30):
    """Every record from the beginning until the client reports the end of each partition, in offset order."""
    consumer = Consumer({"bootstrap.servers": address, "group.id": topic + "-reader", "isolation.level": isolation,
                         "enable.auto.commit": False, "enable.partition.eof": True, "auto.offset.reset": "earliest"})
    records, ended = [], set()
    try:
        partitions = consumer.list_topics(topic, timeout=10).topics[topic].partitions
        consumer.assign([TopicPartition(topic, p, 0) for p in partitions])

        def at_end():
            for m in consumer.consume(500, timeout=0.2):
                if m.error() is None:
                    records.append(Read(m.partition(), m.offset(), m.key(), m.value()))
                elif m.error().code() == KafkaError._PARTITION_EOF:
                    ended.add(m.partition())
                else:
                    raise KafkaException(m.error())
            return len(ended) == len(partitions)
        until("the reader gets to the end of %s" % topic, at_end, within_s, every_s=0)
    finally:
        consumer.close()
    return sorted(records, key=lambda r: (r.partition, r.offset))
