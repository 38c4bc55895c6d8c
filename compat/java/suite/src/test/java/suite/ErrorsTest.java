package suite;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.time.Duration;
import java.util.List;
import java.util.concurrent.ExecutionException;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.errors.InvalidTopicException;
import org.apache.kafka.common.errors.RecordTooLargeException;
import org.apache.kafka.common.errors.TimeoutException;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Errors in a transaction, and producers that end without a word. */
class ErrorsTest extends BrokerTest {
	@ParameterizedTest(name = "noticed by the {0}, after {1} records")
	@CsvSource({ "client, 0", "client, 2", "broker, 0", "broker, 2" })
	void aRecordThatIsTooLargeSpoilsItsTransaction(String noticedBy, int before) throws Exception {
		String topic = topic("orders", 1, "max.message.bytes=1000");
		var producer = transactional("orders-1",
				"max.request.size=" + (noticedBy.equals("client") ? 2000 : 1_000_000));
		producer.beginTransaction();
		send(producer, topic, 0, numbers(0, before));
		var sent = assertThrows(ExecutionException.class,
				() -> producer.send(new ProducerRecord<>(topic, "x".repeat(3000))).get());
		assertInstanceOf(RecordTooLargeException.class, sent.getCause());
		if (noticedBy.equals("broker")) {
			assertThrows(KafkaException.class, producer::commitTransaction);
		}
		producer.abortTransaction();
		transaction(producer, true, topic, "again");
		assertEquals(List.of("again"), values(committed(topic)));
		assertEquals(before + 1, read(topic, UNCOMMITTED).size());
	}

	@ParameterizedTest(name = "{0}")
	@ValueSource(strings = { "orders/1", "a b" })
	void aTopicThatCannotBe(String topic) throws Exception {
		String good = topic("orders", 1);
		var producer = transactional("orders-1");
		producer.beginTransaction();
		send(producer, good, 0, "a");
		var sent = assertThrows(ExecutionException.class, () -> producer.send(new ProducerRecord<>(topic, "x")).get());
		assertInstanceOf(InvalidTopicException.class, sent.getCause());
		producer.abortTransaction();
		transaction(producer, true, good, "again");
		assertEquals(List.of("again"), values(committed(good)));
	}

	@Test
	void aPartitionThatIsNotThere() throws Exception {
		String topic = topic("orders", 1);
		var producer = transactional("orders-1", "max.block.ms=300");
		producer.beginTransaction();
		send(producer, topic, 0, "a");
		var sent = assertThrows(ExecutionException.class,
				() -> producer.send(new ProducerRecord<>(topic, 7, null, "x")).get());
		assertInstanceOf(TimeoutException.class, sent.getCause());
		producer.abortTransaction();
		assertEquals(List.of(), committed(topic));
	}

	@ParameterizedTest(name = "waits: {0}")
	@ValueSource(booleans = { true, false })
	void aProducerThatClosesDoesNotCommit(boolean waits) {
		String topic = topic("orders", 1);
		var producer = transactional("orders-1");
		producer.beginTransaction();
		send(producer, topic, 0, "a");
		if (waits) {
			producer.close(); // aborts
		} else {
			producer.close(Duration.ZERO); // is gone
			assertEquals(0, end(partitions(topic).get(0), COMMITTED));
			transactional("orders-1");
		}
		assertEquals(List.of(), committed(topic));
		assertEquals(1, read(topic, UNCOMMITTED).size());
	}

	@ParameterizedTest(name = "{0}")
	@ValueSource(strings = { "commit", "abort" })
	void anEmptyTransactionWritesNothing(String how) {
		String topic = topic("orders", 1);
		var producer = transactional("orders-1");
		producer.beginTransaction();
		end(producer, how.equals("commit"));
		assertEquals(0, end(partitions(topic).get(0), UNCOMMITTED));
		transaction(producer, true, topic, "a");
		awaitEnd(topic, 0, COMMITTED, 2);
	}

	@ParameterizedTest(name = "{0}")
	@ValueSource(strings = { "flush", "no flush" })
	void topicsAreMadeByTheirFirstRecord(String flush) {
		String topic = name("new");
		var producer = transactional("orders-1");
		producer.beginTransaction();
		producer.send(new ProducerRecord<>(topic, "a"));
		if (flush.equals("flush")) {
			producer.flush();
			assertEquals(List.of(), read(topic, COMMITTED));
		}
		producer.commitTransaction();
		assertEquals(List.of("a"), values(committed(topic)));
	}
}
