// The ways to start a broker with Testcontainers for Node. Other containers of the network reach it as alias:9092. The
// module chooses its way by the tag: ZooKeeper below 8.0.0; with KRaft it formats the storage itself below 7.4.0.
import { createServer } from 'node:net';
import { once } from 'node:events';
import { GenericContainer, Wait } from 'testcontainers';
import { KafkaContainer } from '@testcontainers/kafka';

const image = process.env.ONCE_IMAGE;
const oldImage = process.env.ONCE_OLD_IMAGE; // the same image with a tag below 7.4.0

async function module(container) {
  const started = await container.start();
  return { container: started, address: `${started.getHost()}:${started.getMappedPort(9093)}` };
}

// Without the module. The broker is told which port of the host it has.
async function generic(network, alias) {
  const port = await freePort();
  const started = await new GenericContainer(image)
    .withNetwork(network)
    .withNetworkAliases(alias)
    .withExposedPorts({ container: 9092, host: port })
    .withEnvironment({ ONCE_PORT: String(port) })
    .withWaitStrategy(Wait.forListeningPorts())
    .start();
  return { container: started, address: `${started.getHost()}:${port}` };
}

async function freePort() {
  const server = createServer().listen(0, '0.0.0.0');
  await once(server, 'listening');
  const { port } = server.address();
  await new Promise((closed) => server.close(closed));
  return port;
}

const inNetwork = (container, network, alias) => container.withNetwork(network).withNetworkAliases(alias);

export const ways = {
  'module, KRaft': (network, alias) => module(inNetwork(new KafkaContainer(image), network, alias)),
  'module, ZooKeeper': (network, alias) => module(inNetwork(new KafkaContainer(oldImage), network, alias)),
  'module, KRaft before 7.4': (network, alias) =>
    module(inNetwork(new KafkaContainer(oldImage).withKraft(), network, alias)),
  GenericContainer: generic,
};

// neighbour runs a shell command in another container of the network, and returns what it has printed.
export async function neighbour(network, command) {
  const container = await new GenericContainer(image).withNetwork(network).withCommand(['sleep', '60']).start();
  try {
    const { output } = await container.exec(['sh', '-c', command]);
    return output;
  } finally {
    await container.stop();
  }
}
