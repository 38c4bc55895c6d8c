import io.strimzi.test.container.StrimziKafkaCluster;

/** Strimzi's test container, which brings a server.properties and asks the broker for its quorum. */
final class Strimzi {
    private Strimzi() {}

    static void checks(Modules modules) {
        modules.check("StrimziKafkaCluster: a transaction from the host", Strimzi::cluster);
    }

    private static String cluster() throws Exception {
        var cluster = new StrimziKafkaCluster.StrimziKafkaClusterBuilder().withNumberOfBrokers(1).withImage(System.getenv("ONCE_IMAGE")).build();
        try {
            long began = System.nanoTime();
            cluster.start();
            String ready = Modules.ready(began);
            new Payments(cluster.getBootstrapServers()).transactions();
            return ready;
        } finally {
            cluster.stop();
        }
    }
}
