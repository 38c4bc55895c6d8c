import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.UUID;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

/** What a client on the host does with a broker: transactions, and what readers see of them. */
final class Payments {
    private static final Duration LIMIT = Duration.ofSeconds(30);

    private final String bootstrap;

    Payments(String bootstrap) {
        this.bootstrap = bootstrap;
    }

    /** Commits, aborts, copies with offsets in the transaction, and checks what each kind of reader sees. */
    void transactions() throws Exception {
        String in = topic("payments"), out = topic("receipts"), group = "copier-" + UUID.randomUUID();
        try (var producer = producer("payer-" + UUID.randomUUID())) {
            producer.initTransactions();
            producer.beginTransaction();
            send(producer, in, "one", "two");
            producer.commitTransaction();
            producer.beginTransaction();
            send(producer, in, "never");
            producer.flush();
            producer.abortTransaction();
            producer.beginTransaction();
            send(producer, in, "three");
            producer.commitTransaction();

            same(List.of("one", "two", "three"), read(in, 3, "read_committed"));
            same(List.of("one", "two", "never", "three"), read(in, 4, "read_uncommitted"));

            try (var consumer = consumer(Map.of("group.id", group, "isolation.level", "read_committed", "auto.offset.reset", "earliest"))) {
                consumer.subscribe(List.of(in));
                long copied = 0;
                for (long end = System.nanoTime() + LIMIT.toNanos(); copied < 3 && System.nanoTime() < end;) {
                    var records = consumer.poll(Duration.ofMillis(200));
                    if (records.isEmpty()) {
                        continue;
                    }
                    producer.beginTransaction();
                    for (var record : records) {
                        send(producer, out, record.value().toUpperCase());
                        copied++;
                    }
                    producer.sendOffsetsToTransaction(records.nextOffsets(), consumer.groupMetadata());
                    producer.commitTransaction();
                }
            }
        }
        same(List.of("ONE", "TWO", "THREE"), read(out, 3, "read_committed"));
        try (var admin = Admin.create(Map.<String, Object>of("bootstrap.servers", bootstrap))) {
            var offsets = admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata().get();
            same(true, offsets.get(new TopicPartition(in, 0)).offset() >= 6); // behind "three", which is record 5
        }
    }

    /** A new topic with one partition. */
    String topic(String prefix) throws Exception {
        String name = prefix + "-" + UUID.randomUUID();
        try (var admin = Admin.create(Map.<String, Object>of("bootstrap.servers", bootstrap))) {
            admin.createTopics(List.of(new NewTopic(name, 1, (short) 1))).all().get();
        }
        return name;
    }

    /** Commits values in one transaction. */
    void commit(String topic, String... values) {
        try (var producer = producer("writer-" + UUID.randomUUID())) {
            producer.initTransactions();
            producer.beginTransaction();
            send(producer, topic, values);
            producer.commitTransaction();
        }
    }

    /** The first values of a topic. */
    List<String> read(String topic, int count, String isolation) {
        var values = new ArrayList<String>();
        try (var consumer = consumer(Map.of("isolation.level", isolation))) {
            var partitions = List.of(new TopicPartition(topic, 0));
            consumer.assign(partitions);
            consumer.seekToBeginning(partitions);
            long end = System.nanoTime() + LIMIT.toNanos();
            while (values.size() < count && System.nanoTime() < end) {
                consumer.poll(Duration.ofMillis(200)).forEach(record -> values.add(record.value()));
            }
        }
        return values;
    }

    /** The names of all topics that clients have made. */
    List<String> topics() throws Exception {
        try (var admin = Admin.create(Map.<String, Object>of("bootstrap.servers", bootstrap))) {
            return List.copyOf(admin.listTopics().names().get());
        }
    }

    private KafkaProducer<String, String> producer(String transactionalId) {
        return new KafkaProducer<>(Map.<String, Object>of("bootstrap.servers", bootstrap, "transactional.id", transactionalId),
                new StringSerializer(), new StringSerializer());
    }

    private KafkaConsumer<String, String> consumer(Map<String, Object> settings) {
        var all = new HashMap<>(settings);
        all.put("bootstrap.servers", bootstrap);
        return new KafkaConsumer<>(all, new StringDeserializer(), new StringDeserializer());
    }

    private static void send(KafkaProducer<String, String> producer, String topic, String... values) {
        for (String value : values) {
            producer.send(new ProducerRecord<>(topic, value));
        }
    }

    static void same(Object wanted, Object got) {
        if (!wanted.equals(got)) {
            throw new AssertionError("wanted " + wanted + ", got " + got);
        }
    }
}
