// What a client on the host does, with KafkaJS.
import { Kafka, logLevel } from 'kafkajs';

const limitMs = 20_000;

const connect = (address) => new Kafka({ brokers: [address], clientId: 'modules', logLevel: logLevel.NOTHING });

// transact sends records in one transaction, and commits or aborts it.
export async function transact(address, topic, values, commit = true) {
  const producer = connect(address).producer({ transactionalId: 'modules', idempotent: true, maxInFlightRequests: 1 });
  await producer.connect();
  const transaction = await producer.transaction();
  await transaction.send({ topic, messages: values.map((value) => ({ value })) });
  await (commit ? transaction.commit() : transaction.abort());
  await producer.disconnect();
}

// values reads a topic from its beginning, read_committed as is KafkaJS' default, until it has read so many records.
export async function values(address, topic, count) {
  const consumer = connect(address).consumer({ groupId: `modules-${topic}-${Date.now()}` });
  await consumer.connect();
  await consumer.subscribe({ topic, fromBeginning: true });
  const read = [];
  let timer;
  try {
    await new Promise((resolve, reject) => {
      timer = setTimeout(() => reject(new Error(`read ${read}, and then nothing`)), limitMs);
      consumer
        .run({
          eachMessage: async ({ message }) => {
            read.push(message.value.toString());
            if (read.length >= count) resolve();
          },
        })
        .catch(reject);
    });
  } finally {
    clearTimeout(timer);
    await consumer.disconnect();
  }
  return read;
}
