package suite;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.Collectors;
import org.apache.kafka.clients.admin.AbortTransactionSpec;
import org.apache.kafka.clients.admin.ListTransactionsOptions;
import org.apache.kafka.clients.admin.NewPartitions;
import org.apache.kafka.clients.admin.ProducerState;
import org.apache.kafka.clients.admin.RecordsToDelete;
import org.apache.kafka.clients.admin.TransactionDescription;
import org.apache.kafka.clients.admin.TransactionListing;
import org.apache.kafka.clients.admin.TransactionState;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.InvalidProducerEpochException;
import org.apache.kafka.common.errors.TransactionalIdNotFoundException;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;

/** What an administrator sees of transactions, and does to them and to their topics. */
class AdminTest extends BrokerTest {
	private TopicPartition orders;
	private KafkaProducer<String, String> producer;

	@BeforeEach
	void start() {
		orders = new TopicPartition(topic("orders", 2), 0);
		producer = transactional("orders-1");
	}

	private void open(String... values) {
		producer.beginTransaction();
		send(producer, orders.topic(), 0, values);
	}

	private TransactionDescription described() {
		return done(() -> ADMIN.describeTransactions(List.of(name("orders-1"))).description(name("orders-1")).get());
	}

	private List<ProducerState> producers() {
		return done(() -> ADMIN.describeProducers(List.of(orders)).partitionResult(orders).get()).activeProducers();
	}

	@ParameterizedTest
	@EnumSource(names = { "EMPTY", "ONGOING", "COMPLETE_COMMIT", "COMPLETE_ABORT" })
	void describesATransaction(TransactionState state) {
		if (state != TransactionState.EMPTY) {
			open("a");
		}
		if (state == TransactionState.COMPLETE_COMMIT || state == TransactionState.COMPLETE_ABORT) {
			end(producer, state == TransactionState.COMPLETE_COMMIT);
		}
		await(state, () -> described().state());
		assertEquals(state == TransactionState.ONGOING ? Set.of(orders) : Set.of(), described().topicPartitions());
		assertEquals(60_000, described().transactionTimeoutMs());
		assertEquals(state != TransactionState.EMPTY, described().transactionStartTimeMs().isPresent());
	}

	private Set<String> listed(ListTransactionsOptions options) {
		return done(() -> ADMIN.listTransactions(options).all().get()).stream()
				.map(TransactionListing::transactionalId).collect(Collectors.toSet());
	}

	@ParameterizedTest(name = "by {0}")
	@ValueSource(strings = { "state", "producer ID", "duration", "pattern" })
	void listsTransactions(String by) {
		open("a");
		transactional("idle");
		assertTrue(listed(new ListTransactionsOptions()).containsAll(Set.of(name("orders-1"), name("idle"))));
		var options = new ListTransactionsOptions();
		switch (by) {
			case "state" -> options.filterStates(Set.of(TransactionState.ONGOING));
			case "producer ID" -> options.filterProducerIds(Set.of(described().producerId()));
			case "duration" -> options.filterOnDuration(3_600_000);
			default -> options.filterOnTransactionalIdPattern(name("order.*"));
		}
		boolean byDuration = by.equals("duration"); // an ID that never had a transaction counts as old
		assertEquals(!byDuration, listed(options).contains(name("orders-1")));
		assertEquals(byDuration, listed(options).contains(name("idle")));
	}

	@Test
	void nobodysTransactionIsNotFound() {
		assertThrows(TransactionalIdNotFoundException.class,
				() -> done(() -> ADMIN.describeTransactions(List.of("nobody")).description("nobody").get()));
	}

	@ParameterizedTest(name = "{0}")
	@ValueSource(strings = { "open", "committed", "idempotent" })
	void describesProducers(String kind) {
		if (kind.equals("idempotent")) {
			send(producer(), orders.topic(), 0, "a", "b", "c");
		} else {
			transaction(transactional("other"), true, orders.topic(), "x");
			awaitEnd(orders.topic(), 0, COMMITTED, 2);
			open("a", "b", "c");
		}
		if (kind.equals("committed")) {
			producer.commitTransaction();
			awaitEnd(orders.topic(), 0, COMMITTED, 6);
		}
		assertEquals(kind.equals("idempotent") ? 1 : 2, producers().size());
		ProducerState last = producers().stream().filter(p -> p.lastSequence() == (kind.equals("committed") ? -1 : 2)
				&& (kind.equals("idempotent") || p.producerId() == described().producerId())).findFirst().orElseThrow();
		assertEquals(kind.equals("open"), last.currentTransactionStartOffset().isPresent());
		if (kind.equals("open")) {
			assertEquals(2, last.currentTransactionStartOffset().getAsLong());
		}
	}

	private void abort(short epoch) {
		ProducerState state = producers().get(0);
		done(() -> ADMIN.abortTransaction(new AbortTransactionSpec(orders, state.producerId(),
				epoch < 0 ? (short) state.producerEpoch() : epoch, state.coordinatorEpoch().orElse(-1))).all().get());
	}

	@Test
	void abortsAHangingTransaction() {
		open("a", "b");
		abort((short) -1);
		assertEquals(List.of(), committed(orders.topic()));
		assertEquals(2, read(orders.topic(), UNCOMMITTED).size());
		assertTrue(producers().get(0).currentTransactionStartOffset().isEmpty());
	}

	@Test
	void doesNotAbortAnOlderEpoch() {
		transaction(producer, true, orders.topic(), "a");
		awaitEnd(orders.topic(), 0, COMMITTED, 2);
		open("b");
		assertThrows(InvalidProducerEpochException.class, () -> abort((short) 0));
		producer.commitTransaction();
		assertEquals(List.of("a", "b"), values(committed(orders.topic())));
	}

	@ParameterizedTest(name = "{0}")
	@ValueSource(strings = { "open", "idle", "never seen" })
	void fencesAProducer(String kind) {
		String id = kind.equals("never seen") ? "nobody" : "orders-1";
		if (kind.equals("open")) {
			open("a");
		}
		done(() -> ADMIN.fenceProducers(List.of(name(id))).all().get());
		assertEquals(List.of(), committed(orders.topic()));
		transaction(transactional(id), true, orders.topic(), "b");
		assertEquals(List.of("b"), values(committed(orders.topic())));
		if (kind.equals("open")) {
			assertThrows(KafkaException.class, producer::commitTransaction);
		}
	}

	@ParameterizedTest(name = "up to {0}")
	@CsvSource(emptyValue = "", value = { "1, b c", "3, c", "4, ''" })
	void deletesRecords(long before, String left) {
		transaction(producer, true, orders.topic(), "a", "b");
		awaitEnd(orders.topic(), 0, COMMITTED, 3);
		transaction(producer, true, orders.topic(), "c");
		awaitEnd(orders.topic(), 0, COMMITTED, 5);
		transaction(producer, false, orders.topic(), "d");
		awaitEnd(orders.topic(), 0, COMMITTED, 7);
		done(() -> ADMIN.deleteRecords(Map.of(orders, RecordsToDelete.beforeOffset(before))).all().get());
		assertEquals(left, String.join(" ", values(read(orders.topic(), COMMITTED))));
	}

	@ParameterizedTest(name = "{0}")
	@ValueSource(strings = { "commit", "abort" })
	void addsPartitionsInATransaction(String how) {
		open("a");
		done(() -> ADMIN.createPartitions(Map.of(orders.topic(), NewPartitions.increaseTo(4))).all().get());
		await(4, () -> partitions(orders.topic()).size());
		producer.partitionsFor(orders.topic());
		end(producer, how.equals("commit"));
		var late = transactional("orders-2");
		late.beginTransaction();
		late.send(new ProducerRecord<>(orders.topic(), 3, null, "b"));
		late.commitTransaction();
		assertEquals(how.equals("commit") ? List.of("a", "b") : List.of("b"), values(committed(orders.topic())));
	}

	@ParameterizedTest(name = "{0}")
	@ValueSource(strings = { "commit", "abort" })
	void deletesATopicOfAnOpenTransaction(String how) {
		String other = topic("other", 1);
		open("a");
		send(producer, other, 0, "b");
		done(() -> ADMIN.deleteTopics(List.of(orders.topic())).all().get());
		end(producer, how.equals("commit"));
		awaitEnd(other, 0, COMMITTED, 2);
		assertEquals(how.equals("commit") ? List.of("b") : List.of(), values(read(other, COMMITTED)));
	}
}
