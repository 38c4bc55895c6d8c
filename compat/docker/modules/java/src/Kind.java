import java.io.IOException;
import java.net.ServerSocket;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse.BodyHandlers;
import java.util.List;
import org.testcontainers.containers.GenericContainer;
import org.testcontainers.containers.wait.strategy.Wait;
import org.testcontainers.kafka.ConfluentKafkaContainer;
import org.testcontainers.utility.DockerImageName;

/** One way in which Testcontainers for Java starts the image. The container's own way to start and to wait is left alone. */
abstract class Kind {
    /** The image, by the name that its run.sh was given. */
    static final DockerImageName IMAGE = DockerImageName.parse(System.getenv("ONCE_IMAGE"));

    final String name;
    /** The port that other containers of the network reach the broker at. */
    final int innerPort;

    Kind(String name, int innerPort) {
        this.name = name;
        this.innerPort = innerPort;
    }

    /** A container that is not started. */
    abstract GenericContainer<?> make();

    /** What a client on the host bootstraps from. */
    abstract String bootstrap(GenericContainer<?> container);

    static List<Kind> all() {
        return List.of(new Apache(), new Confluent(), new Deprecated("zookeeper"), new Deprecated("kraft"), new Generic(), new Told(),
                new DotNet("apache", "kraft"), new DotNet("confluent", "zookeeper"), new DotNet("confluent", "kraft"));
    }

    /** org.testcontainers.kafka.KafkaContainer. */
    static class Apache extends Kind {
        Apache() {
            super("KafkaContainer", 9093);
        }

        org.testcontainers.kafka.KafkaContainer make() {
            return new org.testcontainers.kafka.KafkaContainer(IMAGE.asCompatibleSubstituteFor("apache/kafka"));
        }

        String bootstrap(GenericContainer<?> container) {
            return ((org.testcontainers.kafka.KafkaContainer) container).getBootstrapServers();
        }
    }

    /** org.testcontainers.kafka.ConfluentKafkaContainer. */
    static class Confluent extends Kind {
        Confluent() {
            super("ConfluentKafkaContainer", 9093);
        }

        ConfluentKafkaContainer make() {
            return new ConfluentKafkaContainer(IMAGE.asCompatibleSubstituteFor("confluentinc/cp-kafka"));
        }

        String bootstrap(GenericContainer<?> container) {
            return ((ConfluentKafkaContainer) container).getBootstrapServers();
        }
    }

    /** The deprecated org.testcontainers.containers.KafkaContainer in one of its two modes. */
    @SuppressWarnings("deprecation")
    static class Deprecated extends Kind {
        private final String mode;

        Deprecated(String mode) {
            super("containers.KafkaContainer, " + mode, 9092);
            this.mode = mode;
        }

        org.testcontainers.containers.KafkaContainer make() {
            var container = new org.testcontainers.containers.KafkaContainer(IMAGE.asCompatibleSubstituteFor("confluentinc/cp-kafka"));
            return mode.equals("kraft") ? container.withKraft() : container;
        }

        String bootstrap(GenericContainer<?> container) {
            return ((org.testcontainers.containers.KafkaContainer) container).getBootstrapServers();
        }
    }

    /** GenericContainer: nobody tells the broker its port on the host, so that one is picked first. */
    static class Generic extends Kind {
        Generic() {
            super("GenericContainer, ONCE_PORT", 9092);
        }

        GenericContainer<?> make() {
            return new WithPort(freePort());
        }

        String bootstrap(GenericContainer<?> container) {
            return container.getHost() + ":" + container.getMappedPort(9092);
        }

        private static class WithPort extends GenericContainer<WithPort> {
            WithPort(int port) {
                super(IMAGE);
                addFixedExposedPort(port, 9092);
                withExposedPorts(9644);
                withEnv("ONCE_PORT", String.valueOf(port));
                waitingFor(Wait.forHttp("/readyz").forPort(9644));
            }
        }

        private static int freePort() {
            try (var socket = new ServerSocket(0)) {
                return socket.getLocalPort();
            } catch (IOException e) {
                throw new IllegalStateException(e);
            }
        }
    }

    /** GenericContainer: when the engine has picked a port, the broker is told so over HTTP. */
    static class Told extends Kind {
        Told() {
            super("GenericContainer, PUT /v1/advertised", 9092);
        }

        GenericContainer<?> make() {
            return new GenericContainer<>(IMAGE).withExposedPorts(9092, 9644).waitingFor(Wait.forHttp("/readyz").forPort(9644));
        }

        String bootstrap(GenericContainer<?> container) {
            String address = container.getHost() + ":" + container.getMappedPort(9092);
            var request = HttpRequest.newBuilder(URI.create("http://" + container.getHost() + ":" + container.getMappedPort(9644) + "/v1/advertised"))
                    .header("Content-Type", "application/json").PUT(BodyPublishers.ofString("{\"address\": \"" + address + "\"}")).build();
            try {
                var response = HttpClient.newHttpClient().send(request, BodyHandlers.ofString());
                if (response.statusCode() != 200) {
                    throw new IllegalStateException(response.body());
                }
            } catch (IOException | InterruptedException e) {
                throw new IllegalStateException(e);
            }
            return address;
        }
    }
}
