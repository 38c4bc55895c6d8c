// Testcontainers for Node starts the image in ONCE_IMAGE: checks.js [EXPRESSION]. Prints a line for each check.
import assert from 'node:assert/strict';
import { Network } from 'testcontainers';
import { transact, values } from './client.js';
import { neighbour, ways } from './ways.js';

const expression = new RegExp(process.argv[2] ?? '');
let passed = 0;
let failed = 0;

// start starts a broker of this way.
async function start(way, alias) {
  const began = Date.now();
  const broker = await ways[way.name](way.network, alias);
  way.brokers.push(broker);
  return [broker.address, `, ready in ${Date.now() - began} ms`];
}

// The checks, in this order. The first two start the brokers, so they run whatever is asked for.
const checks = {
  async 'starts'(way) {
    let took;
    [way.first, took] = await start(way, 'first');
    return took;
  },
  async 'a second one beside it'(way) {
    let took;
    [way.second, took] = await start(way, 'second');
    await transact(way.first, 'names', ['first']);
    await transact(way.second, 'names', ['second']);
    assert.deepEqual(await values(way.first, 'names', 1), ['first']);
    assert.deepEqual(await values(way.second, 'names', 1), ['second']);
    return took;
  },
  async 'transactions from the host'(way) {
    await transact(way.first, 'orders', ['1', '2']);
    await transact(way.first, 'orders', ['3'], false);
    await transact(way.first, 'orders', ['4']);
    assert.deepEqual(await values(way.first, 'orders', 3), ['1', '2', '4']);
  },
  async 'another container by the alias'(way) {
    await transact(way.first, 'neighbours', ['from the host']);
    const printed = await neighbour(
      way.network,
      'echo from a neighbour | kafka-console-producer --bootstrap-server first:9092 --topic neighbours &&' +
        ' kafka-console-consumer --bootstrap-server first:9092 --topic neighbours --from-beginning --max-messages 2' +
        ' --timeout-ms 10000 --isolation-level read_committed',
    );
    assert.ok(printed.includes('from the host\nfrom a neighbour\n'), printed);
    assert.deepEqual(await values(way.first, 'neighbours', 2), ['from the host', 'from a neighbour']);
  },
  async 'stops'(way) {
    while (way.brokers.length) await way.brokers.pop().container.stop();
  },
};
const starts = Object.keys(checks).slice(0, 2);

async function run(way) {
  const title = (check) => `node ${way.name}: ${check}`;
  const wanted = Object.keys(checks).filter((check) => expression.test(title(check)));
  if (!wanted.length) return;
  for (const check of Object.keys(checks).filter((check) => wanted.includes(check) || starts.includes(check))) {
    try {
      const took = (await checks[check](way)) ?? '';
      console.log(`ok ${title(check)}${took}`);
      passed++;
    } catch (error) {
      console.error(error);
      console.log(`FAIL ${title(check)}`);
      failed++;
      if (starts.includes(check)) return;
    }
  }
}

for (const name of Object.keys(ways)) {
  const network = await new Network().start();
  const way = { name, network, brokers: [] };
  try {
    await run(way);
  } finally {
    for (const { container } of way.brokers) await container.stop();
    await network.stop();
  }
}

console.log(`${passed} passed, ${failed} failed`);
process.exit(failed > 0 ? 1 : 0);
