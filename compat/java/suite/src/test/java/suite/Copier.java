package suite;

import java.time.Duration;
import java.util.Map;
import org.apache.kafka.clients.consumer.ConsumerGroupMetadata;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;

/** A consume-transform-produce program: it copies a topic, partition by partition, with the offsets in transactions. */
final class Copier {
	final KafkaConsumer<String, String> consumer;
	final KafkaProducer<String, String> producer;
	private final String output;
	private final ConsumerGroupMetadata group; // null for that of the consumer

	Copier(KafkaConsumer<String, String> consumer, KafkaProducer<String, String> producer, String output,
			ConsumerGroupMetadata group) {
		this.consumer = consumer;
		this.producer = producer;
		this.output = output;
		this.group = group;
	}

	/** Copies until so many records are committed, aborts each nth transaction, and returns how many records they had. */
	int copy(int records, int abortEach) {
		int copied = 0;
		int aborted = 0;
		for (int n = 1; copied < records; n++) {
			var batch = sendBatch();
			sendOffsets(batch);
			if (abortEach > 0 && n % abortEach == 0) {
				producer.abortTransaction();
				aborted += batch.count();
				rewind(batch);
			} else {
				producer.commitTransaction();
				copied += batch.count();
			}
		}
		return aborted;
	}

	/** Begins a transaction with what the next poll gives, which is written when this returns. */
	ConsumerRecords<String, String> sendBatch() {
		ConsumerRecords<String, String> batch = poll();
		producer.beginTransaction();
		batch.forEach(r -> producer.send(new ProducerRecord<>(output, r.partition(), r.key(), r.value())));
		producer.flush();
		return batch;
	}

	ConsumerRecords<String, String> poll() {
		long deadline = System.nanoTime() + BrokerTest.SOON.toNanos();
		while (System.nanoTime() < deadline) {
			var batch = consumer.poll(Duration.ofMillis(200));
			if (!batch.isEmpty()) {
				return batch;
			}
		}
		throw new AssertionError("no record came");
	}

	void sendOffsets(ConsumerRecords<String, String> batch) {
		producer.sendOffsetsToTransaction(Map.copyOf(batch.nextOffsets()),
				group == null ? consumer.groupMetadata() : group);
	}

	private void rewind(ConsumerRecords<String, String> batch) {
		batch.partitions().forEach(tp -> consumer.seek(tp, batch.records(tp).get(0).offset()));
	}
}
