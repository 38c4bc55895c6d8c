// The ways to start a broker with Testcontainers for Node. Other containers of the network reach it as alias:9092. The
// module chooses its way by the tag: ZooKeeper below 8.0.0; with KRaft it formats the storage itself below 7.4.0.
import { GenericContainer, Wait } from 'testcontainers';
import { KafkaContainer } from '@testcontainers/kafka';

const image = process.env.ONCE_IMAGE;
const oldImage = process.env.ONCE_OLD_IMAGE; // the same image with a tag below 7.4.0

async function module(container) {
  const started = await container.start();
  return { container: started, address: `${started.getHost()}:${started.getMappedPort(9093)}` };
}

// Without the module. The broker is told its address when the engine has chosen the port.
async function generic(network, alias) {
  const started = await new GenericContainer(image)
    .withNetwork(network)
    .withNetworkAliases(alias)
    .withExposedPorts(9092, 9644)
    .withWaitStrategy(Wait.forListeningPorts())
    .start();
  const address = `${started.getHost()}:${started.getMappedPort(9092)}`;
  const answer = await fetch(`http://${started.getHost()}:${started.getMappedPort(9644)}/v1/advertised`, {
    method: 'PUT',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({ address }),
  });
  if (!answer.ok) throw new Error(await answer.text());
  return { container: started, address };
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
