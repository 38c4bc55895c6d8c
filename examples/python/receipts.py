"""An application that consumes, transforms and produces exactly once."""

from confluent_kafka import Consumer, KafkaException, Producer


class Receipts:
    """Reads payments and writes a receipt for each. Only one producer with the transactional ID can commit."""

    def __init__(self, address, transactional_id):
        self.consumer = Consumer(
            {
                "bootstrap.servers": address,
                "group.id": "receipts",
                "isolation.level": "read_committed",
                "auto.offset.reset": "earliest",
                "enable.auto.commit": False,
            }
        )
        self.consumer.subscribe(["payments"])
        self.producer = Producer({"bootstrap.servers": address, "transactional.id": transactional_id})
        self.producer.init_transactions()

    def step(self, write):
        """Reads some payments and writes their receipts, in one transaction with the offsets of the payments.

        If write fails for one of them, the whole transaction is aborted, and the next step reads the same payments
        again. Returns how many it has committed.
        """
        payments = [m for m in self.consumer.consume(10, timeout=1) if not m.error()]
        if not payments:
            return 0
        self.producer.begin_transaction()
        try:
            for payment in payments:
                self.producer.produce("receipts", write(payment))
            self.producer.send_offsets_to_transaction(
                self.consumer.position(self.consumer.assignment()), self.consumer.consumer_group_metadata()
            )
            self.producer.commit_transaction()
        except Exception as error:
            if isinstance(error, KafkaException) and not error.args[0].txn_requires_abort():
                raise
            self.producer.abort_transaction()
            self.go_back()
            return 0
        return len(payments)

    def go_back(self):
        """Goes back to the committed offsets."""
        for partition in self.consumer.committed(self.consumer.assignment()):
            partition.offset = max(partition.offset, 0)  # none is committed yet: the beginning
            self.consumer.seek(partition)

    def close(self):
        self.consumer.close()
