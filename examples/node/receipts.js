// An application that consumes, transforms and produces exactly once.
import { EventEmitter } from 'node:events';

// Receipts reads payments and writes a receipt for each. Only one producer with the transactional ID can commit. After
// each transaction it emits 'committed' with the number of payments.
export class Receipts extends EventEmitter {
  constructor(kafka, transactionalId, write) {
    super();
    this.write = write;
    this.producer = kafka.producer({ transactionalId, idempotent: true, maxInFlightRequests: 1 });
    this.consumer = kafka.consumer({ groupId: 'receipts' });
  }

  async start() {
    await this.producer.connect();
    await this.consumer.connect();
    await this.consumer.subscribe({ topics: ['payments'], fromBeginning: true });
    await this.consumer.run({ autoCommit: false, eachBatch: ({ batch }) => this.transform(batch) });
  }

  // transform writes the receipts of some payments, in one transaction with the offsets of the payments. If write fails
  // for one of them, the whole transaction is aborted, and KafkaJS reads the same payments again.
  async transform(batch) {
    const transaction = await this.producer.transaction();
    try {
      for (const payment of batch.messages) {
        await transaction.send({ topic: 'receipts', messages: [{ value: this.write(payment.value.toString()) }] });
      }
      const offset = String(BigInt(batch.lastOffset()) + 1n);
      await transaction.sendOffsets({
        consumerGroupId: 'receipts',
        topics: [{ topic: batch.topic, partitions: [{ partition: batch.partition, offset }] }],
      });
      await transaction.commit();
    } catch (error) {
      await transaction.abort();
      throw error;
    }
    this.emit('committed', batch.messages.length);
  }

  async stop() {
    await this.consumer.disconnect();
    await this.producer.disconnect();
  }
}
