package receipts;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTimeoutPreemptively;

import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;
import org.junit.jupiter.api.Test;
import org.testcontainers.junit.jupiter.Container;
import org.testcontainers.junit.jupiter.Testcontainers;
import org.testcontainers.kafka.KafkaContainer;
import org.testcontainers.utility.DockerImageName;

@Testcontainers
class ReceiptsTest {
    private static final String IMAGE = Optional.ofNullable(System.getenv("ONCE_IMAGE")).orElse("once:8.1.0");

    /** A broker for all tests of this class. */
    @Container
    private static final KafkaContainer KAFKA = new KafkaContainer(DockerImageName.parse(IMAGE).asCompatibleSubstituteFor("apache/kafka"));

    @Test
    void eachPaymentGetsOneReceipt() {
        produce("payments", "10", "20", "30");
        var failures = new AtomicInteger();
        try (var application = new Receipts(KAFKA.getBootstrapServers(), "receipts-1")) {
            assertTimeoutPreemptively(Duration.ofSeconds(60), () -> {
                for (int done = 0; done < 3;) {
                    done += application.step(payment -> {
                        if (payment.equals("30") && failures.getAndIncrement() == 0) {
                            throw new IllegalStateException("the printer is out of paper"); // receipts have been sent already
                        }
                        return "received " + payment;
                    });
                }
            });
        }
        assertEquals(2, failures.get(), "how often the last payment was tried");
        produce("receipts", "end");
        assertEquals(List.of("received 10", "received 20", "received 30", "end"), readUntil("receipts", "end"));
    }

    private static void produce(String topic, String... values) {
        try (var producer = new KafkaProducer<>(Map.<String, Object>of("bootstrap.servers", KAFKA.getBootstrapServers()),
                new StringSerializer(), new StringSerializer())) {
            for (String value : values) {
                producer.send(new ProducerRecord<>(topic, value));
            }
        }
    }

    /** Reads what is committed in a topic, from its beginning to the record with this value. */
    private static List<String> readUntil(String topic, String last) {
        var values = new ArrayList<String>();
        try (var consumer = new KafkaConsumer<>(Map.<String, Object>of("bootstrap.servers", KAFKA.getBootstrapServers(),
                "isolation.level", "read_committed"), new StringDeserializer(), new StringDeserializer())) {
            var partitions = List.of(new TopicPartition(topic, 0));
            consumer.assign(partitions);
            consumer.seekToBeginning(partitions);
            long end = System.nanoTime() + Duration.ofSeconds(30).toNanos();
            while (!values.contains(last) && System.nanoTime() < end) {
                consumer.poll(Duration.ofSeconds(1)).forEach(record -> values.add(record.value()));
            }
        }
        return values;
    }
}
