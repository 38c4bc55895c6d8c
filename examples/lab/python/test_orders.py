import pytest
from confluent_kafka import Consumer, Producer
from once_lab import LabError


def test_lost_answer_to_a_commit(lab):
    gap = lab.fault({"loseAnswer": True}, api="EndTxn")
    producer = Producer({"bootstrap.servers": lab.bootstrap, "transactional.id": "orders-1"})
    producer.init_transactions(30)
    producer.begin_transaction()
    producer.produce("orders", "a")
    producer.commit_transaction(30)
    assert lab.values("orders") == ["a"]
    assert gap.state()["matched"] == 2


def test_fault_that_never_happens(lab):
    lab.fault({"error": "NOT_COORDINATOR"}, name="never", api="TxnOffsetCommit")
    with pytest.raises(LabError, match="never"):
        lab.heal()


def test_mistake_is_named(lab):
    with pytest.raises(LabError, match="match.apy") as e:
        lab.fault({"loseAnswer": True}, apy="EndTxn")
    assert e.value.status == 400


def test_findings(lab):
    for _ in range(2):
        producer = Producer({"bootstrap.servers": lab.bootstrap, "transactional.id": "orders-1"})
        producer.init_transactions(30)
        producer.begin_transaction()
        producer.produce("orders", "a")
        producer.commit_transaction(30)
        del producer
        assert lab.findings() == []
    consumer = Consumer({"bootstrap.servers": lab.bootstrap, "group.id": "billing", "auto.offset.reset": "earliest"})
    consumer.subscribe(["orders"])
    message = None
    while message is None:
        message = consumer.poll(0.1)
    producer = Producer({"bootstrap.servers": lab.bootstrap, "transactional.id": "billing-1"})
    producer.init_transactions(30)
    producer.begin_transaction()
    position = consumer.position(consumer.assignment())
    producer.send_offsets_to_transaction(position, consumer.consumer_group_metadata(), 30)
    producer.commit_transaction(30)
    assert lab.findings() == []
    consumer.close()  # commits by itself: enable.auto.commit was left on
    assert [f["code"] for f in lab.findings()] == ["mixed-commits"]
    assert lab.findings(ignore=["mixed-commits"]) == []
    assert len(lab.clear_findings()) == 1
    assert lab.findings() == []
