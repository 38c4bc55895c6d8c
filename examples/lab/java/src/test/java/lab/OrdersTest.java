package lab;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Map;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.serialization.StringSerializer;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;

@ExtendWith(Lab.Extension.class)
class OrdersTest {
	private static final String ONE_RECORD = "{\"partition\": {\"topic\": \"orders\", \"partition\": 0, \"records\": 1}}";

	@Test
	void commitWhoseAnswerIsLostSucceeds(Lab lab) {
		lab.fault("{\"match\": {\"api\": \"EndTxn\"}, \"do\": {\"loseAnswer\": true}}");
		try (var producer = begin(lab)) {
			producer.commitTransaction();
		}
		lab.await(ONE_RECORD);
	}

	@Test
	void zombieCannotCommit(Lab lab) {
		try (var zombie = begin(lab)) {
			lab.call("POST", "/transactions/orders-1/fence", null);
			assertThrows(KafkaException.class, zombie::commitTransaction);
		}
	}

	@Test
	void markerComesLate(Lab lab) {
		String marker = lab.fault("{\"match\": {\"point\": \"txn.marker\"}, \"do\": {\"hold\": true}}");
		try (var producer = begin(lab)) {
			producer.commitTransaction();
			lab.await("{\"partition\": {\"topic\": \"orders\", \"partition\": 0, \"openTransactions\": 1}}");
			lab.release(marker);
			lab.await(ONE_RECORD);
		}
	}

	@Test
	void transactionThatIsOpenForLongIsFound(Lab lab) {
		try (var producer = begin(lab)) {
			assertEquals("[]", lab.findings());
			lab.advance("45s"); // of a minute
			producer.commitTransaction();
		}
		assertTrue(lab.findings().contains("\"long-transaction\""), lab.findings());
		assertEquals("[]", lab.findings("long-transaction"));
		lab.clearFindings();
		assertEquals("[]", lab.findings());
	}

	@Test
	void faultThatNeverHappensIsNamed(Lab lab) {
		lab.fault("{\"name\": \"never\", \"match\": {\"api\": \"EndTxn\"}, \"do\": {\"loseAnswer\": true}}");
		var e = assertThrows(Lab.LabException.class, lab::heal);
		assertEquals(409, e.status);
		assertTrue(e.getMessage().contains("never"));
	}

	/** A producer with a transaction in which a record has been sent. */
	private static KafkaProducer<String, String> begin(Lab lab) {
		var producer = new KafkaProducer<>(Map.<String, Object>of("bootstrap.servers", lab.bootstrap,
				"transactional.id", "orders-1"), new StringSerializer(), new StringSerializer());
		producer.initTransactions();
		producer.beginTransaction();
		producer.send(new ProducerRecord<>("orders", "a"));
		producer.flush();
		return producer;
	}
}
