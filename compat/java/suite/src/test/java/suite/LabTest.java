package suite;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.List;
import java.util.Map;
import java.util.Set;
import org.apache.kafka.clients.consumer.ConsumerGroupMetadata;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.common.TopicPartition;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.EnabledIfEnvironmentVariable;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** What goes wrong on the way, and a program need not notice. Only a broker with a lab can be asked for it. */
@EnabledIfEnvironmentVariable(named = "SUITE_LAB", matches = ".+")
class LabTest extends BrokerTest {
	private static void fault(String api, String what) {
		LAB.fault("{\"match\": {\"api\": \"" + api + "\"}, \"do\": {" + what + "}}");
	}

	@AfterEach
	void theFaultHasHappened() {
		LAB.heal();
	}

	/** Two transactions of a record and an offset, of which the first one meets the fault: all is there once. */
	private void assertAllOnce() {
		var orders = new TopicPartition(topic("orders", 1), 0);
		var producer = transactional("orders-1", "retry.backoff.ms=10", "reconnect.backoff.ms=10");
		for (int i = 1; i <= 2; i++) {
			producer.beginTransaction();
			send(producer, orders.topic(), 0, Integer.toString(i));
			producer.sendOffsetsToTransaction(Map.of(orders, new OffsetAndMetadata(i)), new ConsumerGroupMetadata("g"));
			producer.commitTransaction();
		}
		assertEquals(List.of("1", "2"), values(committed(orders.topic())));
		assertEquals(2, read(orders.topic(), UNCOMMITTED).size());
		assertEquals(2, member("g", "classic").committed(Set.of(orders)).get(orders).offset());
	}

	@ParameterizedTest(name = "{0}")
	@ValueSource(strings = { "FindCoordinator", "InitProducerId", "Metadata", "Produce", "TxnOffsetCommit", "EndTxn" })
	void anAnswerIsLost(String api) {
		fault(api, "\"loseAnswer\": true");
		assertAllOnce();
	}

	@ParameterizedTest(name = "{0}")
	@ValueSource(strings = { "InitProducerId", "Produce", "TxnOffsetCommit", "EndTxn" })
	void aRequestIsLost(String api) {
		fault(api, "\"loseRequest\": true");
		assertAllOnce();
	}

	@ParameterizedTest(name = "{0}")
	@ValueSource(strings = { "Produce", "TxnOffsetCommit", "EndTxn" })
	void aRequestComesTwice(String api) {
		fault(api, "\"duplicate\": true");
		assertAllOnce();
	}

	@ParameterizedTest(name = "{0} gets {1}")
	@CsvSource({ "InitProducerId, NOT_COORDINATOR", "InitProducerId, COORDINATOR_LOAD_IN_PROGRESS",
			"InitProducerId, CONCURRENT_TRANSACTIONS", "Produce, NOT_LEADER_OR_FOLLOWER",
			"Produce, NOT_ENOUGH_REPLICAS", "TxnOffsetCommit, NOT_COORDINATOR",
			"TxnOffsetCommit, COORDINATOR_LOAD_IN_PROGRESS", "EndTxn, NOT_COORDINATOR",
			"EndTxn, COORDINATOR_NOT_AVAILABLE", "EndTxn, COORDINATOR_LOAD_IN_PROGRESS",
			"EndTxn, CONCURRENT_TRANSACTIONS" })
	void anErrorThatPasses(String api, String error) {
		fault(api, "\"error\": \"" + error + "\"");
		assertAllOnce();
	}

	@ParameterizedTest(name = "{0}")
	@ValueSource(strings = { "clean", "kill" })
	void anOpenTransactionSurvivesARestart(String how) {
		String topic = topic("orders", 1);
		var producer = transactional("orders-1", "reconnect.backoff.ms=10");
		producer.beginTransaction();
		send(producer, topic, 0, "before");
		LAB.call("POST", "/restart", "{\"how\": \"" + how + "\"}");
		send(producer, topic, 0, "after");
		producer.commitTransaction();
		assertEquals(List.of("before", "after"), values(committed(topic)));
	}

	@Test
	void readersWaitForAMarkerThatIsLate() {
		String topic = topic("orders", 2);
		String marker = LAB.fault("{\"match\": {\"point\": \"txn.marker\", \"topic\": \"" + topic
				+ "\", \"partition\": 1}, \"do\": {\"hold\": true}}");
		var producer = transactional("orders-1");
		producer.beginTransaction();
		send(producer, topic, 0, "a");
		send(producer, topic, 1, "b");
		producer.commitTransaction();
		awaitEnd(topic, 0, COMMITTED, 2);
		assertEquals(List.of("a"), values(read(topic, COMMITTED)));
		LAB.release(marker);
		assertEquals(List.of("a", "b"), values(committed(topic)));
	}
}
