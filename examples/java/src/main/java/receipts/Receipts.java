package receipts;

import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.function.UnaryOperator;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.errors.AuthorizationException;
import org.apache.kafka.common.errors.ProducerFencedException;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

/** Reads payments and writes a receipt for each. Only one producer with the transactional ID can commit. */
public class Receipts implements AutoCloseable {
    private final KafkaConsumer<String, String> consumer;
    private final KafkaProducer<String, String> producer;

    public Receipts(String address, String transactionalId) {
        consumer = new KafkaConsumer<>(Map.<String, Object>of("bootstrap.servers", address, "group.id", "receipts",
                "isolation.level", "read_committed", "auto.offset.reset", "earliest", "enable.auto.commit", false),
                new StringDeserializer(), new StringDeserializer());
        producer = new KafkaProducer<>(Map.<String, Object>of("bootstrap.servers", address, "transactional.id", transactionalId),
                new StringSerializer(), new StringSerializer());
        consumer.subscribe(List.of("payments"));
        producer.initTransactions();
    }

    /**
     * Reads some payments and writes their receipts, in one transaction with the offsets of the payments.
     *
     * <p>If write fails for one of them, the whole transaction is aborted, and the next step reads the same payments again.
     *
     * @return how many it has committed
     */
    public int step(UnaryOperator<String> write) {
        var payments = consumer.poll(Duration.ofSeconds(1));
        if (payments.isEmpty()) {
            return 0;
        }
        producer.beginTransaction();
        try {
            for (ConsumerRecord<String, String> payment : payments) {
                producer.send(new ProducerRecord<>("receipts", payment.key(), write.apply(payment.value())));
            }
            producer.sendOffsetsToTransaction(payments.nextOffsets(), consumer.groupMetadata());
            producer.commitTransaction();
            return payments.count();
        } catch (ProducerFencedException | AuthorizationException e) {
            throw e; // another one has this transactional ID now, or nobody may use it: there is no way back
        } catch (RuntimeException e) {
            producer.abortTransaction();
            goBack();
            return 0;
        }
    }

    /** Goes back to the committed offsets. */
    private void goBack() {
        consumer.committed(consumer.assignment()).forEach((partition, committed) -> {
            if (committed == null) {
                consumer.seekToBeginning(List.of(partition));
            } else {
                consumer.seek(partition, committed);
            }
        });
    }

    @Override
    public void close() {
        producer.close();
        consumer.close();
    }
}
