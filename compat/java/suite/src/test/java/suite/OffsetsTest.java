package suite;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.time.Duration;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import org.apache.kafka.clients.consumer.ConsumerGroupMetadata;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.TimeoutException;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Offsets of a group in transactions. */
class OffsetsTest extends BrokerTest {
	private TopicPartition orders;
	private KafkaProducer<String, String> producer;

	@BeforeEach
	void fill() {
		orders = new TopicPartition(topic("orders", 1), 0);
		send(producer(), orders.topic(), 0, numbers(0, 10));
		producer = transactional("billing-1");
	}

	private void sendOffset(String group, OffsetAndMetadata offset) {
		producer.sendOffsetsToTransaction(Map.of(orders, offset), new ConsumerGroupMetadata(name(group)));
	}

	/** What a member of the group gets, who waits for transactions that are open; null for no offset. */
	private OffsetAndMetadata committedOf(String group) {
		return member(group, "classic").committed(Set.of(orders)).get(orders);
	}

	/** A word is the offset of a transaction, and + or -: it is committed or aborted. */
	@ParameterizedTest(name = "{0}")
	@CsvSource(nullValues = "none", value = { "3+, 3", "3-, none", "3+ 5+, 5", "3+ 5-, 3", "3- 5+, 5", "3- 5-, none",
			"5+ 3+, 3", "3+ 5- 7+ 9-, 7" })
	void theLastCommittedOneCounts(String history, Long offset) {
		for (String word : history.split(" ")) {
			producer.beginTransaction();
			sendOffset("billing", new OffsetAndMetadata(word.charAt(0) - '0'));
			end(producer, word.endsWith("+"));
		}
		var committed = committedOf("billing");
		assertEquals(offset, committed == null ? null : (Long) committed.offset());
	}

	@ParameterizedTest(name = "{0}")
	@CsvSource({ "commit, 7", "abort, 3" })
	void aMemberWaitsForAnOpenTransaction(String how, long offset) {
		producer.beginTransaction();
		sendOffset("billing", new OffsetAndMetadata(3));
		producer.commitTransaction();
		producer.beginTransaction();
		sendOffset("billing", new OffsetAndMetadata(7));
		var member = member("billing", "classic");
		assertThrows(TimeoutException.class, () -> member.committed(Set.of(orders), Duration.ofMillis(300)));
		end(producer, how.equals("commit"));
		assertEquals(offset, member.committed(Set.of(orders)).get(orders).offset());
	}

	@ParameterizedTest(name = "metadata {0}, leader epoch {1}")
	@CsvSource(emptyValue = "", value = { "'', ''", "'made by billing-1', 4", "'値', ''" })
	void metadataAndLeaderEpochAreKept(String metadata, String epoch) {
		Optional<Integer> leaderEpoch = epoch.isEmpty() ? Optional.empty() : Optional.of(Integer.valueOf(epoch));
		var offset = new OffsetAndMetadata(3, leaderEpoch, metadata);
		producer.beginTransaction();
		sendOffset("billing", offset);
		producer.commitTransaction();
		assertEquals(offset, committedOf("billing"));
	}

	@ParameterizedTest(name = "{0}")
	@ValueSource(strings = { "commit", "abort" })
	void offsetsOfTwoGroupsAndARecordEndTogether(String how) {
		String out = topic("out", 1);
		producer.beginTransaction();
		sendOffset("billing", new OffsetAndMetadata(3));
		sendOffset("shipping", new OffsetAndMetadata(4));
		send(producer, out, 0, "a");
		end(producer, how.equals("commit"));
		if (how.equals("commit")) {
			assertEquals(3, committedOf("billing").offset());
			assertEquals(4, committedOf("shipping").offset());
			assertEquals(1, committed(out).size());
		} else {
			assertEquals(null, committedOf("billing"));
			assertEquals(null, committedOf("shipping"));
			assertEquals(0, committed(out).size());
		}
	}

	@ParameterizedTest(name = "plain commit {0}")
	@CsvSource({ "before, 5", "after, 8" })
	void aPlainCommitIsOneMore(String when, long offset) {
		var member = member("billing", "classic");
		member.assign(Set.of(orders));
		if (when.equals("before")) {
			member.commitSync(Map.of(orders, new OffsetAndMetadata(8)));
		}
		producer.beginTransaction();
		sendOffset("billing", new OffsetAndMetadata(5));
		producer.commitTransaction();
		if (when.equals("after")) {
			committedOf("billing"); // waits until the transaction has ended
			member.commitSync(Map.of(orders, new OffsetAndMetadata(8)));
		}
		assertEquals(offset, committedOf("billing").offset());
	}
}
