import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Kafka, logLevel } from 'kafkajs';
import { labOf } from './once-lab.js';

async function begin(t, lab, value) {
  const kafka = new Kafka({ brokers: [lab.bootstrap], logLevel: logLevel.NOTHING });
  const producer = kafka.producer({ transactionalId: 'orders-1', idempotent: true, maxInFlightRequests: 1 });
  await producer.connect();
  t.after(() => producer.disconnect());
  const transaction = await producer.transaction();
  await transaction.send({ topic: 'orders', messages: [{ value }] });
  return transaction;
}

test('the coordinator moves', async (t) => {
  const lab = await labOf(t);
  const moved = await lab.fault({ match: { api: 'AddPartitionsToTxn' }, do: { error: 'NOT_COORDINATOR' } });
  const transaction = await begin(t, lab, 'a');
  await transaction.commit();
  assert.deepEqual(await lab.values('orders'), ['a']);
  assert.equal((await moved.state()).triggered, 1);
});

test('a zombie cannot commit', async (t) => {
  const lab = await labOf(t);
  const zombie = await begin(t, lab, 'a');
  await lab.transaction('orders-1', 'fence');
  await assert.rejects(zombie.commit());
  assert.deepEqual(await lab.values('orders', { fate: 'aborted' }), ['a']);
});

test('a marker comes late', async (t) => {
  const lab = await labOf(t);
  const marker = await lab.fault({ match: { point: 'txn.marker' }, do: { hold: true } });
  const transaction = await begin(t, lab, 'a');
  await transaction.commit();
  assert.deepEqual(await lab.values('orders', { fate: 'open' }), ['a']);
  await marker.release();
  await lab.waitFor({ partition: { topic: 'orders', partition: 0, records: 1 } });
});

test('a fault that never happens is named', async (t) => {
  const lab = await labOf(t);
  await lab.fault({ name: 'never', match: { api: 'EndTxn' }, do: { loseAnswer: true } });
  await assert.rejects(lab.heal(), { status: 409, message: /never/ });
});

test('a correct program gives no finding, and two with one ID give one', async (t) => {
  const lab = await labOf(t);
  await (await begin(t, lab, 'a')).commit();
  assert.deepEqual(await lab.findings(), []);
  await (await begin(t, lab, 'b')).commit();
  const [found] = await lab.findings();
  assert.equal(found.code, 'shared-transactional-id');
  assert.deepEqual(await lab.findings(['shared-transactional-id']), []);
  assert.equal((await lab.clearFindings()).length, 1);
  assert.deepEqual(await lab.findings(), []);
});
