package suite;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Future;
import org.apache.kafka.clients.admin.ProducerState;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.TopicPartition;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Producers without transactions: each record once and in order. */
class IdempotenceTest extends BrokerTest {
	@ParameterizedTest(name = "{0} requests in flight, {1}, batches of {2} bytes, {3} partitions")
	@CsvSource({ "1, none, 100, 1", "1, lz4, 100, 3", "5, none, 0, 1", "5, none, 100, 3", "5, zstd, 100, 1",
			"5, gzip, 1000, 3", "5, snappy, 16384, 1", "5, none, 16384, 12" })
	void eachOnceAndInOrder(int inFlight, String compression, int batchSize, int partitions) {
		String topic = topic("orders", partitions);
		var producer = producer("max.in.flight.requests.per.connection=" + inFlight, "batch.size=" + batchSize,
				"compression.type=" + compression, "linger.ms=0");
		List<Future<RecordMetadata>> told = new ArrayList<>();
		for (int i = 0; i < 600; i++) {
			told.add(producer.send(new ProducerRecord<>(topic, i % partitions, null, Integer.toString(i))));
		}
		producer.flush();
		var read = read(topic, UNCOMMITTED);
		assertEquals(600, read.size());
		for (var record : read) {
			int i = Integer.parseInt(record.value());
			assertEquals(i % partitions, record.partition());
			assertEquals(i / partitions, record.offset());
			assertEquals(record.offset(), done(told.get(i)::get).offset());
		}
	}

	@ParameterizedTest(name = "{0} producers")
	@ValueSource(ints = { 2, 4 })
	void producersOfOnePartitionKeepTheirOrder(int producers) {
		String topic = topic("orders", 1);
		List<KafkaProducer<String, String>> all = new ArrayList<>();
		for (int p = 0; p < producers; p++) {
			all.add(producer("batch.size=64"));
		}
		for (int i = 0; i < 100; i++) {
			for (int p = 0; p < producers; p++) {
				all.get(p).send(new ProducerRecord<>(topic, 0, Integer.toString(p), Integer.toString(i)));
			}
		}
		all.forEach(KafkaProducer::flush);
		var read = read(topic, COMMITTED);
		for (int p = 0; p < producers; p++) {
			String key = Integer.toString(p);
			assertEquals(List.of(numbers(0, 100)), values(read.stream().filter(r -> r.key().equals(key)).toList()));
		}
		assertEquals(100 * producers, read.size());
	}

	private static List<ProducerState> states(TopicPartition partition) {
		return done(() -> ADMIN.describeProducers(List.of(partition)).partitionResult(partition).get())
				.activeProducers();
	}

	@Test
	void producersHaveIdsOfTheirOwn() {
		var orders = partitions(topic("orders", 1)).get(0);
		for (int p = 0; p < 5; p++) {
			send(producer(), orders.topic(), 0, "a", "b");
		}
		assertEquals(5, states(orders).stream().map(ProducerState::producerId).distinct().count());
		assertEquals(List.of(1, 1, 1, 1, 1), states(orders).stream().map(ProducerState::lastSequence).toList());
	}

	@Test
	void withoutIdempotenceThereIsNoProducerState() {
		var orders = partitions(topic("orders", 1)).get(0);
		send(producer("enable.idempotence=false", "acks=1"), orders.topic(), 0, "a", "b");
		assertEquals(List.of(), states(orders));
		assertEquals(List.of("a", "b"), values(read(orders.topic(), COMMITTED)));
	}
}
