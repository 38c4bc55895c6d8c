package suite;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import java.util.Map;
import java.util.Set;
import org.apache.kafka.clients.admin.TransactionState;
import org.apache.kafka.clients.consumer.ConsumerGroupMetadata;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.TopicPartition;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.EnabledIfEnvironmentVariable;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * Transactions that time out. With a lab their timeout is a quarter of an hour, which passes when the clock is moved.
 * Without one it is a second, and Kafka looks every ten seconds for those that are over.
 */
class TimeoutTest extends BrokerTest {
	private TopicPartition orders;
	private KafkaProducer<String, String> late;

	private void timesOut() {
		orders = new TopicPartition(topic("orders", 1), 0);
		late = transactional("orders-1", "transaction.timeout.ms=" + (LAB == null ? 1000 : 900_000));
		late.beginTransaction();
		send(late, orders.topic(), 0, "late");
		late.sendOffsetsToTransaction(Map.of(orders, new OffsetAndMetadata(1)), new ConsumerGroupMetadata(name("g")));
		if (LAB != null) {
			LAB.advance("16m");
		}
		await(TransactionState.COMPLETE_ABORT, () -> done(() -> ADMIN.describeTransactions(List.of(name("orders-1")))
				.description(name("orders-1")).get()).state());
	}

	@ParameterizedTest(name = "{0}")
	@ValueSource(strings = { "send", "commit", "send and commit" })
	void theProducerLearnsOfIt(String what) {
		timesOut();
		assertThrows(Exception.class, () -> {
			switch (what) {
				case "send" -> late.send(new ProducerRecord<>(orders.topic(), "more")).get();
				case "commit" -> late.commitTransaction();
				default -> {
					late.send(new ProducerRecord<>(orders.topic(), "more"));
					late.commitTransaction();
				}
			}
		});
		assertEquals(List.of(), committed(orders.topic()));
		transaction(transactional("orders-1"), true, orders.topic(), "again");
		assertEquals(List.of("again"), values(committed(orders.topic())));
	}

	@Test
	void readersAndOffsetsGoOn() {
		timesOut();
		send(producer(), orders.topic(), 0, "plain");
		assertEquals(List.of("plain"), values(committed(orders.topic())));
		assertNull(member("g", "classic").committed(Set.of(orders)).get(orders));
	}

	@ParameterizedTest(name = "{0} ms")
	@ValueSource(ints = { 900_001, Integer.MAX_VALUE })
	void tooLongATimeoutIsRefused(int timeout) {
		var e = assertThrows(KafkaException.class, () -> transactional("orders-1", "transaction.timeout.ms=" + timeout));
		assertTrue(e.getMessage().contains("transaction timeout is larger than the maximum"), e::toString);
	}

	@Test
	@EnabledIfEnvironmentVariable(named = "SUITE_LAB", matches = ".+")
	void thereIsNoTimeoutBetweenTransactions() {
		String topic = topic("orders", 1);
		var idle = transactional("orders-1", "transaction.timeout.ms=1000");
		transaction(idle, true, topic, "a");
		LAB.advance("1h");
		transaction(idle, true, topic, "b");
		assertEquals(List.of("a", "b"), values(committed(topic)));
	}
}
