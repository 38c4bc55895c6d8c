package suite;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import java.util.Map;
import org.apache.kafka.clients.consumer.ConsumerGroupMetadata;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.InvalidProducerEpochException;
import org.apache.kafka.common.errors.ProducerFencedException;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** A second producer with the transactional ID, or an administrator, ends the first one. */
class FencingTest extends BrokerTest {
	private String topic;
	private KafkaProducer<String, String> zombie;

	@BeforeEach
	void zombie() {
		topic = topic("orders", 1);
		zombie = transactional("orders-1");
		transaction(zombie, true, topic, "first");
		awaitEnd(topic, 0, COMMITTED, 2);
	}

	private void fence(String by) {
		if (by.equals("a producer")) {
			transactional("orders-1");
		} else {
			done(() -> ADMIN.fenceProducers(List.of(name("orders-1"))).all().get());
		}
	}

	private void act(String what) throws Exception {
		switch (what) {
			case "send" -> zombie.send(new ProducerRecord<>(topic, "zombie")).get();
			case "commit" -> zombie.commitTransaction();
			case "abort" -> zombie.abortTransaction();
			case "offsets" -> zombie.sendOffsetsToTransaction(
					Map.of(new TopicPartition(topic, 0), new OffsetAndMetadata(1)),
					new ConsumerGroupMetadata(name("g")));
			default -> throw new IllegalArgumentException(what);
		}
	}

	/** The reason, which some calls wrap. */
	private static Throwable reason(Throwable thrown) {
		while (thrown.getCause() != null) {
			thrown = thrown.getCause();
		}
		return thrown;
	}

	@ParameterizedTest(name = "{0} in a transaction, fenced by {1}")
	@CsvSource({ "send, a producer", "commit, a producer", "abort, a producer", "offsets, a producer",
			"send, an administrator", "commit, an administrator", "abort, an administrator",
			"offsets, an administrator" })
	void inATransaction(String what, String by) {
		zombie.beginTransaction();
		send(zombie, topic, 0, "open");
		fence(by);
		Throwable thrown = reason(assertThrows(Exception.class, () -> act(what)));
		assertTrue(thrown instanceof ProducerFencedException || thrown instanceof InvalidProducerEpochException,
				thrown::toString);
		assertEquals(List.of("first"), values(committed(topic)));
	}

	@ParameterizedTest(name = "{0} of a new transaction, fenced by {1}")
	@CsvSource({ "send, a producer", "offsets, a producer", "send, an administrator", "offsets, an administrator" })
	void betweenTransactions(String what, String by) {
		fence(by);
		zombie.beginTransaction();
		Throwable thrown = reason(assertThrows(Exception.class, () -> act(what)));
		assertTrue(thrown instanceof ProducerFencedException || thrown instanceof InvalidProducerEpochException,
				thrown::toString);
		assertEquals(List.of("first"), values(committed(topic)));
		assertEquals(1, read(topic, UNCOMMITTED).size(), "the zombie has written");
	}

	@Test
	void itStaysFenced() {
		zombie.beginTransaction();
		send(zombie, topic, 0, "open");
		fence("a producer");
		assertThrows(ProducerFencedException.class, zombie::commitTransaction);
		assertThrows(KafkaException.class, zombie::beginTransaction);
		assertThrows(KafkaException.class, zombie::abortTransaction);
	}

	@ParameterizedTest(name = "{0} instances")
	@ValueSource(ints = { 2, 5 })
	void onlyTheLastInstanceCommits(int instances) {
		KafkaProducer<String, String> last = zombie;
		for (int i = 0; i < instances; i++) {
			last.beginTransaction();
			send(last, topic, 0, "open-" + i);
			last = transactional("orders-1");
		}
		transaction(last, true, topic, "last");
		assertEquals(List.of("first", "last"), values(committed(topic)));
		assertEquals(instances + 2, read(topic, UNCOMMITTED).size());
	}

	@Test
	void anotherTransactionalIdIsNotFenced() {
		var other = transactional("orders-2");
		other.beginTransaction();
		send(other, topic, 0, "other");
		fence("a producer");
		other.commitTransaction();
		assertEquals(List.of("first", "other"), values(committed(topic)));
	}

	@Test
	void theSuccessorSeesWhatIsCommittedOnly() {
		zombie.beginTransaction();
		send(zombie, topic, 0, "open");
		var successor = transactional("orders-1");
		assertEquals(List.of("first"), values(committed(topic)));
		transaction(successor, true, topic, "second");
		assertEquals(List.of("first", "second"), values(committed(topic)));
		assertInstanceOf(ProducerFencedException.class, assertThrows(KafkaException.class, zombie::commitTransaction));
	}
}
