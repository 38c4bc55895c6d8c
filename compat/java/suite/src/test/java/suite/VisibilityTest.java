package suite;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Future;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** A transaction over partitions and topics, with each compression and in batches of each size. */
class VisibilityTest extends BrokerTest {
	private static final int RECORDS = 60;

	@ParameterizedTest(name = "{0} over {1} partitions, {2}")
	@CsvSource({
			"commit, 1, none", "commit, 1, gzip", "commit, 1, snappy", "commit, 1, lz4", "commit, 1, zstd",
			"commit, 3, none", "commit, 3, gzip", "commit, 3, snappy", "commit, 3, lz4", "commit, 3, zstd",
			"commit, 12, none", "commit, 12, zstd",
			"abort, 1, none", "abort, 1, gzip", "abort, 1, snappy", "abort, 1, lz4", "abort, 1, zstd",
			"abort, 3, none", "abort, 3, gzip", "abort, 3, snappy", "abort, 3, lz4", "abort, 3, zstd",
			"abort, 12, none", "abort, 12, zstd" })
	void allOrNothing(String how, int partitions, String compression) {
		String topic = topic("orders", partitions);
		var producer = transactional("orders-1", "compression.type=" + compression);
		producer.beginTransaction();
		for (int i = 0; i < RECORDS; i++) {
			producer.send(new ProducerRecord<>(topic, i % partitions, null, Integer.toString(i)));
		}
		producer.flush();
		assertTrue(read(topic, COMMITTED).isEmpty(), "seen before its commit");
		end(producer, how.equals("commit"));

		List<String> inOrder = new ArrayList<>();
		for (int p = 0; p < partitions; p++) {
			awaitEnd(topic, p, COMMITTED, RECORDS / partitions + 1); // the records and a marker
			for (int i = p; i < RECORDS; i += partitions) {
				inOrder.add(Integer.toString(i));
			}
		}
		assertEquals(how.equals("commit") ? inOrder : List.of(), values(read(topic, COMMITTED)));
		assertEquals(inOrder, values(read(topic, UNCOMMITTED)));
	}

	@ParameterizedTest(name = "{0}: {1} records in batches of {2} bytes")
	@CsvSource({
			"commit, 1, 0", "commit, 100, 0", "commit, 100, 512", "commit, 100, 16384", "commit, 1, 1048576",
			"commit, 3000, 512", "commit, 3000, 16384", "commit, 3000, 1048576",
			"abort, 1, 0", "abort, 100, 0", "abort, 100, 512", "abort, 3000, 16384", "abort, 3000, 1048576" })
	void offsetsAreThoseThatTheProducerWasTold(String how, int records, int batchSize) {
		String topic = topic("orders", 1);
		var producer = transactional("orders-1", "batch.size=" + batchSize);
		producer.beginTransaction();
		List<Future<RecordMetadata>> told = new ArrayList<>();
		for (String value : numbers(0, records)) {
			told.add(producer.send(new ProducerRecord<>(topic, value)));
		}
		if (how.equals("abort")) {
			producer.flush(); // what is not sent yet would be dropped; a commit sends it
		}
		end(producer, how.equals("commit"));
		awaitEnd(topic, 0, COMMITTED, records + 1);
		transaction(producer, true, topic, "last");

		var all = read(topic, UNCOMMITTED);
		for (int i = 0; i < records; i++) {
			assertEquals(i, done(told.get(i)::get).offset());
			assertEquals(i, all.get(i).offset());
			assertEquals(Integer.toString(i), all.get(i).value());
		}
		assertEquals(records + 1, all.get(records).offset(), "there is one marker between them");
		assertEquals(how.equals("commit") ? records + 1 : 1, committed(topic).size());
	}

	@ParameterizedTest(name = "{0} topics, {1}")
	@CsvSource({ "2, commit", "2, abort", "5, commit", "5, abort", "20, commit", "20, abort" })
	void topicsOfOneTransactionEndTogether(int topics, String how) {
		var producer = transactional("orders-1");
		List<String> names = new ArrayList<>();
		for (int i = 0; i < topics; i++) {
			names.add(topic("orders-" + i, 2));
		}
		producer.beginTransaction();
		names.forEach(topic -> producer.send(new ProducerRecord<>(topic, 1, null, topic)));
		producer.flush();
		end(producer, how.equals("commit"));
		for (String topic : names) {
			awaitEnd(topic, 1, COMMITTED, 2);
			assertEquals(how.equals("commit") ? List.of(topic) : List.of(), values(read(topic, COMMITTED)));
			assertEquals(0, end(partitions(topic).get(0), UNCOMMITTED), "a partition without records has no marker");
		}
	}

	@ParameterizedTest(name = "{0} transactions, each third aborted")
	@ValueSource(ints = { 3, 10, 40 })
	void transactionsOfOneProducer(int transactions) {
		String topic = topic("orders", 1);
		var producer = transactional("orders-1");
		List<String> kept = new ArrayList<>();
		for (int i = 0; i < transactions; i++) {
			boolean commit = i % 3 != 2;
			transaction(producer, commit, topic, i + "a", i + "b");
			if (commit) {
				kept.addAll(List.of(i + "a", i + "b"));
			}
		}
		awaitEnd(topic, 0, COMMITTED, 3L * transactions);
		assertEquals(kept, values(read(topic, COMMITTED)));
	}
}
