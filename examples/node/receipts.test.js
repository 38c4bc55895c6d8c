import assert from 'node:assert/strict';
import { once } from 'node:events';
import { after, before, test } from 'node:test';
import { KafkaContainer } from '@testcontainers/kafka';
import { Kafka, logLevel } from 'kafkajs';
import { Receipts } from './receipts.js';

let container;
let kafka;

before(async () => {
  container = await new KafkaContainer(process.env.ONCE_IMAGE ?? 'once:8.1.0').start();
  const brokers = [`${container.getHost()}:${container.getMappedPort(9093)}`];
  kafka = new Kafka({ brokers, logLevel: logLevel.NOTHING });
});

after(() => container?.stop());

test('each payment gets one receipt', { timeout: 60_000 }, async () => {
  await produce('payments', '10', '20', '30');
  let failures = 0;
  const application = new Receipts(kafka, 'receipts-1', (payment) => {
    // Receipts of the same transaction have been sent already.
    if (payment === '30' && failures++ === 0) throw new Error('the printer is out of paper');
    return `received ${payment}`;
  });
  await application.start();
  for (let done = 0; done < 3; ) done += (await once(application, 'committed'))[0];
  await application.stop();

  assert.ok(failures > 0);
  await produce('receipts', 'end');
  assert.deepEqual(await readUntil('receipts', 'end'), ['received 10', 'received 20', 'received 30', 'end']);
});

async function produce(topic, ...values) {
  const producer = kafka.producer();
  await producer.connect();
  await producer.send({ topic, messages: values.map((value) => ({ value })) });
  await producer.disconnect();
}

// readUntil reads what is committed in a topic, from its beginning to the record with this value.
async function readUntil(topic, last) {
  const consumer = kafka.consumer({ groupId: 'test' });
  await consumer.connect();
  await consumer.subscribe({ topic, fromBeginning: true });
  const values = [];
  await new Promise((resolve, reject) => {
    const eachMessage = async ({ message }) => {
      values.push(message.value.toString());
      if (values.at(-1) === last) resolve();
    };
    consumer.run({ eachMessage }).catch(reject);
  });
  await consumer.disconnect();
  return values;
}
