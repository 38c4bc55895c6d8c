import pytest
from confluent_kafka import Producer
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
