import com.github.dockerjava.api.command.InspectContainerResponse;
import org.testcontainers.containers.GenericContainer;
import org.testcontainers.containers.wait.strategy.Wait;
import org.testcontainers.images.builder.Transferable;

/**
 * What the module Testcontainers.Kafka of .NET does with an image: its environment, entrypoint, script and the line that it
 * waits for. The module itself needs an SDK of .NET, which machines without one cannot install from packages.
 */
final class DotNet extends Kind {
    private static final String SCRIPT = "/testcontainers.sh";

    private final boolean apache, zookeeper;

    DotNet(String vendor, String mode) {
        super("as by .NET, " + vendor + ", " + mode, 9093);
        apache = vendor.equals("apache");
        zookeeper = mode.equals("zookeeper");
    }

    Container make() {
        return new Container();
    }

    String bootstrap(GenericContainer<?> container) {
        return ((Container) container).getBootstrapServers();
    }

    /** The container of that module. */
    final class Container extends GenericContainer<Container> {
        private String more = "";

        Container() {
            super(IMAGE);
            withExposedPorts(9092, 9093);
            withEnv("KAFKA_LISTENERS", "PLAINTEXT://:9092,BROKER://:9093,CONTROLLER://:9094");
            withEnv("KAFKA_LISTENER_SECURITY_PROTOCOL_MAP", "BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT");
            withEnv("KAFKA_INTER_BROKER_LISTENER_NAME", "BROKER");
            withEnv("KAFKA_BROKER_ID", "1");
            withEnv("KAFKA_NODE_ID", "1");
            withEnv("KAFKA_CONTROLLER_QUORUM_VOTERS", "1@localhost:9094");
            withEnv("KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR", "1");
            withEnv("KAFKA_OFFSETS_TOPIC_NUM_PARTITIONS", "1");
            withEnv("KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR", "1");
            withEnv("KAFKA_TRANSACTION_STATE_LOG_MIN_ISR", "1");
            withEnv("KAFKA_LOG_FLUSH_INTERVAL_MESSAGES", String.valueOf(Long.MAX_VALUE));
            withEnv("KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS", "0");
            withEnv("CLUSTER_ID", "4L6g3nShT-eMCtK--X86sw");
            withCreateContainerCmdModifier(command -> command.withEntrypoint("/bin/sh", "-c"));
            setCommand(new String[] {"while [ ! -f " + SCRIPT + " ]; do sleep 0.1; done; " + SCRIPT});
            if (zookeeper) {
                addExposedPort(2181);
                withEnv("KAFKA_ZOOKEEPER_CONNECT", "localhost:2181");
                waitingFor(Wait.forLogMessage(".*\\[KafkaServer id=\\d+\\] started.*", 1));
            } else {
                withEnv("KAFKA_CONTROLLER_LISTENER_NAMES", "CONTROLLER");
                withEnv("KAFKA_PROCESS_ROLES", "broker,controller");
                waitingFor(Wait.forLogMessage(".*Transitioning from RECOVERY to RUNNING.*", 1));
            }
        }

        Container withListener(String address) {
            more = "TC-0://" + address;
            withEnv("KAFKA_LISTENERS", getEnvMap().get("KAFKA_LISTENERS") + "," + more);
            withEnv("KAFKA_LISTENER_SECURITY_PROTOCOL_MAP", getEnvMap().get("KAFKA_LISTENER_SECURITY_PROTOCOL_MAP") + ",TC-0:PLAINTEXT");
            return withNetworkAliases(address.split(":")[0]);
        }

        public String getBootstrapServers() {
            return "PLAINTEXT://" + getHost() + ":" + getMappedPort(9092);
        }

        @Override
        protected void containerIsStarting(InspectContainerResponse info) {
            String ip = info.getNetworkSettings().getNetworks().values().iterator().next().getIpAddress();
            String script = "#!/bin/bash\n";
            if (zookeeper) {
                script += "echo '' > /etc/confluent/docker/ensure\n"
                        + "echo 'clientPort=2181' > zookeeper.properties\n"
                        + "echo 'dataDir=/var/lib/zookeeper/data' >> zookeeper.properties\n"
                        + "echo 'dataLogDir=/var/lib/zookeeper/log' >> zookeeper.properties\n"
                        + "zookeeper-server-start zookeeper.properties &\n";
            }
            // With no other listener, its list ends in a comma.
            script += "export KAFKA_ADVERTISED_LISTENERS=" + getBootstrapServers() + ",BROKER://" + ip + ":9093," + more + "\n"
                    + "exec " + (apache ? "/etc/kafka/docker/run" : "/etc/confluent/docker/run") + "\n";
            copyFileToContainer(Transferable.of(script, 0755), SCRIPT);
        }
    }
}
