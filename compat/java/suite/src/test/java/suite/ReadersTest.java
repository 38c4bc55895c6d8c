package suite;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;

import java.time.Duration;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.IsolationLevel;
import org.apache.kafka.common.TopicPartition;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Positions, ends, lags and shares of consumers over transactions. */
class ReadersTest extends BrokerTest {
	private TopicPartition orders;

	/** Offsets: a 0, b 1, commit 2, c 3, abort 4, d 5, commit 6; and, when open, e 7. */
	private void fill(boolean open) {
		orders = new TopicPartition(topic("orders", 1), 0);
		var producer = transactional("orders-1");
		transaction(producer, true, orders.topic(), "a", "b");
		awaitEnd(orders.topic(), 0, COMMITTED, 3);
		transaction(producer, false, orders.topic(), "c");
		awaitEnd(orders.topic(), 0, COMMITTED, 5);
		transaction(producer, true, orders.topic(), "d");
		awaitEnd(orders.topic(), 0, COMMITTED, 7);
		if (open) {
			producer.beginTransaction();
			send(producer, orders.topic(), 0, "e");
		}
	}

	private KafkaConsumer<String, String> reader(IsolationLevel isolation, String... configs) {
		var reader = consumer(isolation, configs);
		reader.assign(Set.of(orders));
		return reader;
	}

	/** Polls until the position is there, and returns the values. */
	private List<String> readTo(KafkaConsumer<String, String> reader, long position) {
		List<String> values = new ArrayList<>();
		await(position, () -> {
			reader.poll(Duration.ofMillis(100)).forEach(r -> values.add(r.value()));
			return reader.position(orders);
		});
		return values;
	}

	@ParameterizedTest(name = "{0} from {1}, open: {2}")
	@CsvSource(emptyValue = "", value = {
			"READ_COMMITTED, 0, false, a b d, 7", "READ_COMMITTED, 1, false, b d, 7", "READ_COMMITTED, 2, false, d, 7",
			"READ_COMMITTED, 3, false, d, 7", "READ_COMMITTED, 5, false, d, 7", "READ_COMMITTED, 6, false, '', 7",
			"READ_COMMITTED, 0, true, a b d, 7", "READ_COMMITTED, 6, true, '', 7",
			"READ_UNCOMMITTED, 0, false, a b c d, 7", "READ_UNCOMMITTED, 3, false, c d, 7",
			"READ_UNCOMMITTED, 4, false, d, 7", "READ_UNCOMMITTED, 0, true, a b c d e, 8" })
	void aReaderSeeks(IsolationLevel isolation, long from, boolean open, String values, long position) {
		fill(open);
		var reader = reader(isolation);
		reader.seek(orders, from);
		assertEquals(values, String.join(" ", readTo(reader, position)));
	}

	@ParameterizedTest(name = "{0}, open: {1}")
	@CsvSource({ "READ_COMMITTED, false, 7", "READ_COMMITTED, true, 7", "READ_UNCOMMITTED, false, 7",
			"READ_UNCOMMITTED, true, 8" })
	void ends(IsolationLevel isolation, boolean open, long end) {
		fill(open);
		var reader = reader(isolation);
		assertEquals(Map.of(orders, end), reader.endOffsets(Set.of(orders)));
		assertEquals(Map.of(orders, 0L), reader.beginningOffsets(Set.of(orders)));
		reader.seekToEnd(Set.of(orders));
		assertEquals(end, reader.position(orders));
	}

	@ParameterizedTest(name = "{0}")
	@EnumSource
	void lagIsToTheEndThatAReaderMaySee(IsolationLevel isolation) {
		fill(true);
		var reader = reader(isolation, "max.poll.records=1");
		assertEquals(List.of("a"), readTo(reader, 1));
		assertEquals(isolation == COMMITTED ? 6 : 7, reader.currentLag(orders).getAsLong());
		readTo(reader, isolation == COMMITTED ? 7 : 8);
		assertEquals(0, reader.currentLag(orders).getAsLong());
	}

	/** Minutes from now: a -60 at 0, b -50 at 1, its marker now at 2; c -40 at 3, aborted at 4; d 30 at 5, open. */
	@ParameterizedTest(name = "{0}, {1} minutes from now")
	@CsvSource({ "READ_COMMITTED, -65, 0", "READ_COMMITTED, -55, 1", "READ_COMMITTED, -45, 2", "READ_COMMITTED, 20, -1",
			"READ_UNCOMMITTED, 20, 5" })
	void offsetsByTime(IsolationLevel isolation, int minutes, long offset) {
		orders = new TopicPartition(topic("orders", 1), 0);
		var producer = transactional("orders-1");
		long now = System.currentTimeMillis();
		int[][] transactions = { { -60, -50 }, { -40 }, { 30 } };
		for (int[] records : transactions) {
			producer.beginTransaction();
			for (int at : records) {
				producer.send(new ProducerRecord<>(orders.topic(), 0, now + at * 60_000L, null, "v"));
				producer.flush(); // a batch of its own
			}
			if (records[0] < 0) {
				end(producer, records[0] == -60);
				awaitEnd(orders.topic(), 0, UNCOMMITTED, records[0] == -60 ? 3 : 5);
			}
		}
		var found = reader(isolation).offsetsForTimes(Map.of(orders, now + minutes * 60_000L)).get(orders);
		assertEquals(offset, found == null ? -1 : found.offset());
	}

	@ParameterizedTest(name = "{0} at a time")
	@ValueSource(ints = { 1, 2, 500 })
	void recordsOfOnePoll(int atATime) {
		fill(false);
		var reader = reader(COMMITTED, "max.poll.records=" + atATime);
		List<String> values = new ArrayList<>();
		await(List.of("a", "b", "d"), () -> {
			var batch = reader.poll(Duration.ofMillis(100));
			assertEquals(true, batch.count() <= atATime);
			batch.forEach(r -> values.add(r.value()));
			return values;
		});
	}

	@ParameterizedTest(name = "{0} members, {1} partitions")
	@CsvSource({ "1, 3", "2, 3", "2, 4", "3, 3" })
	void membersShareWhatIsCommitted(int members, int partitions) {
		String topic = topic("orders", partitions);
		var producer = transactional("orders-1");
		Set<String> kept = new TreeSet<>();
		for (int t = 0; t < 6; t++) {
			producer.beginTransaction();
			for (int p = 0; p < partitions; p++) {
				producer.send(new ProducerRecord<>(topic, p, null, t + "-" + p));
				if (t % 2 == 0) {
					kept.add(t + "-" + p);
				}
			}
			end(producer, t % 2 == 0);
		}
		List<KafkaConsumer<String, String>> group = new ArrayList<>();
		for (int m = 0; m < members; m++) {
			group.add(member("billing", "classic", "heartbeat.interval.ms=50"));
			group.get(m).subscribe(List.of(topic));
		}
		List<String> read = new ArrayList<>();
		Set<TopicPartition> assigned = new HashSet<>();
		await(partitions, () -> { // each member has its part before any record is committed
			assigned.clear();
			group.forEach(m -> m.poll(Duration.ofMillis(20)));
			group.forEach(m -> assigned.addAll(m.assignment()));
			return group.stream().anyMatch(m -> m.assignment().isEmpty()) ? 0 : assigned.size();
		});
		group.forEach(m -> m.seekToBeginning(m.assignment()));
		await(kept.size(), () -> {
			group.forEach(m -> m.poll(Duration.ofMillis(20)).forEach(r -> read.add(r.value())));
			return read.size();
		});
		assertEquals(kept, new TreeSet<>(read));
		group.forEach(KafkaConsumer::commitSync);
		var offsets = done(() -> ADMIN.listConsumerGroupOffsets(name("billing")).partitionsToOffsetAndMetadata().get());
		assertEquals(partitions, offsets.size());
	}

	@ParameterizedTest(name = "{0}")
	@ValueSource(strings = { "classic", "consumer" })
	void twoGroupsReadEverything(String protocol) {
		fill(false);
		for (String group : List.of("billing", "shipping")) {
			var member = member(group, protocol);
			member.subscribe(List.of(orders.topic()));
			List<String> values = new ArrayList<>();
			await(List.of("a", "b", "d"), () -> {
				member.poll(Duration.ofMillis(100)).forEach(r -> values.add(r.value()));
				return values;
			});
			member.commitSync();
			assertEquals(7, member.committed(Set.of(orders)).get(orders).offset());
			assertNull(member("nobody", protocol).committed(Set.of(orders)).get(orders));
		}
	}
}
