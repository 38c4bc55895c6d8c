package suite;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Producers in threads of their own, with transactions in the same partitions. */
class ParallelTest extends BrokerTest {
	private static final int TRANSACTIONS = 12;

	@ParameterizedTest(name = "{0} producers, {1} partitions, each {2}. aborted")
	@CsvSource({ "2, 1, 0", "2, 1, 2", "2, 3, 3", "4, 1, 0", "4, 3, 2", "8, 1, 3", "8, 6, 2" })
	void eachProducersRecordsInOrder(int producers, int partitions, int abortEach) {
		String topic = topic("orders", partitions);
		ExecutorService threads = Executors.newFixedThreadPool(producers);
		List<Future<?>> running = new ArrayList<>();
		for (int p = 0; p < producers; p++) {
			String key = Integer.toString(p);
			var producer = transactional("orders-" + p);
			running.add(threads.submit(() -> work(producer, topic, key, partitions, abortEach)));
		}
		running.forEach(thread -> done(thread::get));
		threads.shutdown();

		var read = committed(topic);
		for (int p = 0; p < producers; p++) {
			String key = Integer.toString(p);
			for (int partition = 0; partition < partitions; partition++) {
				int of = partition;
				assertEquals(kept(abortEach),
						values(read.stream().filter(r -> r.key().equals(key) && r.partition() == of).toList()));
			}
		}
		long written = (long) producers * TRANSACTIONS * partitions;
		assertEquals(written, read(topic, UNCOMMITTED).size());
		for (var tp : partitions(topic)) {
			assertEquals(2 * written / partitions, end(tp, COMMITTED), "a marker for each record");
		}
	}

	private static boolean commits(int transaction, int abortEach) {
		return abortEach == 0 || transaction % abortEach != abortEach - 1;
	}

	private static void work(KafkaProducer<String, String> producer, String topic, String key, int partitions,
			int abortEach) {
		for (int t = 0; t < TRANSACTIONS; t++) {
			producer.beginTransaction();
			for (int partition = 0; partition < partitions; partition++) {
				producer.send(new ProducerRecord<>(topic, partition, key, Integer.toString(t)));
			}
			producer.flush(); // an abort would drop what is not sent yet
			end(producer, commits(t, abortEach));
		}
	}

	private static List<String> kept(int abortEach) {
		List<String> kept = new ArrayList<>();
		for (int t = 0; t < TRANSACTIONS; t++) {
			if (commits(t, abortEach)) {
				kept.add(Integer.toString(t));
			}
		}
		return kept;
	}
}
