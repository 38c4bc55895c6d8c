package suite;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.time.Duration;
import java.util.List;
import java.util.Set;
import org.apache.kafka.clients.consumer.CommitFailedException;
import org.apache.kafka.clients.consumer.ConsumerGroupMetadata;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Consume-transform-produce: each input has one output, however often it is tried. */
class CopyTest extends BrokerTest {
	private static final int INPUTS = 60;
	private String in;
	private String out;

	private void fill(int partitions) {
		in = topic("in", partitions);
		out = topic("out", partitions);
		var producer = producer();
		for (int i = 0; i < INPUTS; i++) {
			producer.send(new ProducerRecord<>(in, i % partitions, null, Integer.toString(i)));
		}
		producer.flush();
	}

	/** A copier in a group. */
	private Copier subscribed(String id, String protocol, int inOneTransaction, String... configs) {
		String[] all = List.of(configs).toArray(new String[configs.length + 1]);
		all[configs.length] = "max.poll.records=" + inOneTransaction;
		var consumer = member("copiers", protocol, all);
		consumer.subscribe(List.of(in));
		return new Copier(consumer, transactional(id), out, null);
	}

	/** A copier that assigns itself all partitions. */
	private Copier assigned(String id, int inOneTransaction) {
		var producer = transactional(id); // before the offsets are asked for: it ends what its predecessor left open
		var consumer = member("copiers", "classic", "max.poll.records=" + inOneTransaction);
		consumer.assign(partitions(in));
		return new Copier(consumer, producer, out, new ConsumerGroupMetadata(name("copiers")));
	}

	/** Each committed input has one output, in order, and the offsets are behind the last one of each partition. */
	private void assertCopied() {
		var inputs = read(in, COMMITTED);
		assertEquals(values(inputs), values(committed(out)));
		var offsets = member("copiers", "classic").committed(Set.copyOf(partitions(in)));
		for (var last : inputs) { // the last one of a partition counts
			long offset = offsets.get(new TopicPartition(in, last.partition())).offset();
			assertTrue(last.offset() < offset, last + " is not below " + offset);
		}
	}

	@ParameterizedTest(name = "{0} partitions, {1} in a transaction, each {2}. aborted, {3}")
	@CsvSource({
			"1, 1, 0, classic", "1, 1, 2, classic", "1, 7, 0, classic", "1, 7, 2, classic", "1, 7, 3, classic",
			"1, 60, 0, classic", "1, 60, 2, classic", "1, 7, 0, consumer", "1, 7, 2, consumer",
			"3, 1, 0, classic", "3, 1, 3, classic", "3, 7, 0, classic", "3, 7, 2, classic", "3, 7, 3, classic",
			"3, 60, 0, classic", "3, 60, 3, classic", "3, 7, 0, consumer", "3, 7, 3, consumer" })
	void eachInputHasOneOutput(int partitions, int inOneTransaction, int abortEach, String protocol) {
		fill(partitions);
		int aborted = subscribed("copier-1", protocol, inOneTransaction).copy(INPUTS, abortEach);
		assertCopied();
		assertEquals(INPUTS + aborted, read(out, UNCOMMITTED).size());
	}

	@ParameterizedTest(name = "died with {0} sent")
	@ValueSource(strings = { "records", "offsets", "commit" })
	void theNextInstanceGoesOnWhereTheLastOneHasCommitted(String sent) {
		fill(2);
		var first = assigned("copier-1", 10);
		first.copy(20, 0);
		var batch = first.sendBatch();
		if (!sent.equals("records")) {
			first.sendOffsets(batch);
		}
		if (sent.equals("commit")) {
			first.producer.commitTransaction();
		}
		first.producer.close(Duration.ZERO); // what it has open stays open
		assigned("copier-1", 10).copy(INPUTS - (sent.equals("commit") ? 30 : 20), 0);
		assertCopied();
		assertEquals(INPUTS + (sent.equals("commit") ? 0 : 10), read(out, UNCOMMITTED).size());
	}

	@ParameterizedTest(name = "{0}")
	@ValueSource(strings = { "commit", "abort" })
	void inputsOfATransactionAreCopiedIfItIsCommitted(String how) {
		fill(1);
		transaction(transactional("source"), how.equals("commit"), in, "a", "b");
		transaction(transactional("source"), true, in, "c");
		subscribed("copier-1", "classic", 100).copy(how.equals("commit") ? INPUTS + 3 : INPUTS + 1, 0);
		assertCopied();
	}

	@Test
	void aStaticMemberTakesOver() {
		fill(2);
		var first = subscribed("copier-1", "classic", 10, "group.instance.id=one");
		first.copy(20, 0);
		first.sendOffsets(first.sendBatch());
		var second = subscribed("copier-1", "classic", 10, "group.instance.id=one");
		second.copy(INPUTS - 20, 0);
		assertCopied();
	}

	@ParameterizedTest(name = "{0}")
	@ValueSource(strings = { "generation", "member" })
	void offsetsOfAStrangerAreRefused(String wrong) {
		fill(1);
		var copier = subscribed("copier-1", "classic", 10);
		copier.copy(10, 0);
		var own = copier.consumer.groupMetadata();
		boolean member = wrong.equals("member");
		var stale = new ConsumerGroupMetadata(own.groupId(), own.generationId() - (member ? 0 : 1),
				member ? "nobody" : own.memberId(), own.groupInstanceId());
		var other = new Copier(copier.consumer, copier.producer, out, stale);
		var batch = other.sendBatch();
		assertThrows(CommitFailedException.class, () -> other.sendOffsets(batch));
		other.producer.abortTransaction();
		batch.partitions().forEach(tp -> copier.consumer.seek(tp, 10));
		copier.copy(INPUTS - 10, 0);
		assertCopied();
	}

	@Test
	void oneProducerForTwoInputs() {
		fill(1);
		var copier = subscribed("copier-1", "classic", 30);
		var audit = topic("audit", 1);
		for (int i = 0; i < 2; i++) {
			var batch = copier.sendBatch();
			copier.producer.send(new ProducerRecord<>(audit, Integer.toString(batch.count())));
			copier.sendOffsets(batch);
			copier.producer.commitTransaction();
		}
		assertCopied();
		assertEquals(List.of("30", "30"), values(committed(audit)));
	}
}
