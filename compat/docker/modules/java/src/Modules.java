import static java.util.stream.Collectors.joining;

import java.time.Duration;
import java.util.List;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.testcontainers.DockerClientFactory;
import org.testcontainers.containers.GenericContainer;
import org.testcontainers.containers.Network;
import org.testcontainers.containers.output.OutputFrame;
import org.testcontainers.containers.startupcheck.OneShotStartupCheckStrategy;
import org.testcontainers.lifecycle.Startables;


/** The checks of Testcontainers for Java. Its argument is the expression that names match. Prints ok and FAIL lines. */
public final class Modules {
    private final Pattern expression;

    private Modules(String expression) {
        this.expression = Pattern.compile(expression);
    }

    public static void main(String[] args) {
        DockerClientFactory.instance().client(); // finding the engine is no part of a time to ready
        var modules = new Modules(args[0]);
        for (Kind kind : Kind.all()) {
            modules.check(kind.name + ": a transaction from the host", () -> modules.fromTheHost(kind));
            modules.check(kind.name + ": a neighbour by its alias", () -> modules.fromANeighbour(kind));
            modules.check(kind.name + ": two side by side", () -> modules.sideBySide(kind));
        }
        modules.check("KafkaContainer: withListener", () -> modules.listener(
                (org.testcontainers.kafka.KafkaContainer) new Kind.Apache().make(), container -> container.withListener("kafka:19092")));
        modules.check("ConfluentKafkaContainer: withListener", () -> modules.listener(
                new Kind.Confluent().make(), container -> container.withListener("kafka:19092")));
        for (String mode : List.of("zookeeper", "kraft")) {
            modules.check("containers.KafkaContainer, " + mode + ": withListener", () -> modules.listener(
                    new Kind.Deprecated(mode).make(), container -> container.withListener(() -> "kafka:19092")));
        }
        modules.check("as by .NET, apache, kraft: withListener", () -> modules.listener(
                new DotNet("apache", "kraft").make(), container -> container.withListener("kafka:19092")));
        Strimzi.checks(modules);
        System.exit(0); // whatever threads a module has left
    }

    interface Body {
        /** What to print behind the name, "" for nothing. */
        String run() throws Exception;
    }

    void check(String name, Body body) {
        if (!expression.matcher(name).find()) {
            return;
        }
        try {
            String more = body.run();
            System.out.println("ok " + name + (more.isEmpty() ? "" : ", " + more));
        } catch (Throwable e) {
            System.out.println("FAIL " + name);
            for (Throwable cause = e; cause != null; cause = cause.getCause()) {
                System.out.println("    " + cause);
            }
        }
    }

    private String fromTheHost(Kind kind) throws Exception {
        try (var container = kind.make()) {
            String ready = started(container);
            new Payments(kind.bootstrap(container)).transactions();
            String id = container.getContainerId();
            container.stop();
            if (DockerClientFactory.instance().client().listContainersCmd().withShowAll(true).exec().stream().anyMatch(c -> c.getId().equals(id))) {
                throw new AssertionError("it is there after stop");
            }
            return ready;
        }
    }

    private String fromANeighbour(Kind kind) throws Exception {
        try (var network = Network.newNetwork(); var container = kind.make().withNetwork(network).withNetworkAliases("broker")) {
            String ready = started(container);
            talk(network, kind.bootstrap(container), "broker:" + kind.innerPort);
            return ready;
        }
    }

    private String sideBySide(Kind kind) throws Exception {
        try (var a = kind.make(); var b = kind.make()) {
            long began = System.nanoTime();
            Startables.deepStart(Stream.of(a, b)).join();
            String ready = ready(began);
            var first = new Payments(kind.bootstrap(a));
            var second = new Payments(kind.bootstrap(b));
            String topic = first.topic("first");
            first.commit(topic, "one");
            Payments.same(false, second.topics().contains(topic));
            second.transactions();
            Payments.same(List.of("one"), first.read(topic, 1, "read_committed"));
            return "both " + ready;
        }
    }

    interface WithListener<C> {
        void add(C container);
    }

    private <C extends GenericContainer<?>> String listener(C container, WithListener<C> with) throws Exception {
        try (var network = Network.newNetwork(); container) {
            container.withNetwork(network);
            with.add(container);
            String ready = started(container);
            talk(network, bootstrap(container), "kafka:19092");
            return ready;
        }
    }

    private static String bootstrap(GenericContainer<?> container) throws Exception {
        return (String) container.getClass().getMethod("getBootstrapServers").invoke(container);
    }

    /** Host and neighbour each read what the other one has written. */
    static void talk(Network network, String outside, String inside) throws Exception {
        var host = new Payments(outside);
        String topic = host.topic("talk");
        neighbour(network, "echo from the neighbour | kafka-console-producer --bootstrap-server " + inside + " --topic " + topic);
        host.commit(topic, "from the host");
        Payments.same(List.of("from the neighbour", "from the host"), host.read(topic, 2, "read_committed"));
        Payments.same(List.of("from the neighbour", "from the host"), neighbour(network, "kafka-console-consumer --bootstrap-server " + inside
                + " --topic " + topic + " --from-beginning --isolation-level read_committed --max-messages 2 --timeout-ms 10000"));
    }

    /** Runs a command of the image in a container of its own; the lines of its standard output. */
    private static List<String> neighbour(Network network, String command) {
        try (var container = new GenericContainer<>(Kind.IMAGE).withNetwork(network).withCommand("sh", "-c", command)
                .withStartupCheckStrategy(new OneShotStartupCheckStrategy().withTimeout(Duration.ofSeconds(30)))) {
            container.start();
            return container.getLogs(OutputFrame.OutputType.STDOUT).lines().toList();
        }
    }

    /** Starts a container; how long that took, with its log where it failed. */
    static String started(GenericContainer<?> container) {
        long began = System.nanoTime();
        try {
            container.start();
        } catch (RuntimeException e) {
            System.out.println(container.getContainerId() == null ? "" : container.getLogs().lines().map(line -> "    | " + line).collect(joining("\n")));
            throw e;
        }
        return ready(began);
    }

    static String ready(long began) {
        return "ready in " + Duration.ofNanos(System.nanoTime() - began).toMillis() + " ms";
    }
}
