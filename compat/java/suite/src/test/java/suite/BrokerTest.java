package suite;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.fail;

import java.time.Duration;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.Supplier;
import java.util.stream.IntStream;
import lab.Lab;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.ListOffsetsOptions;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.consumer.CloseOptions;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.IsolationLevel;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;

/**
 * A broker that is as new for each test: it is reset over its lab. A broker without a lab cannot be reset; there each
 * test has names of its own, which name makes. SUITE_BROKER is the broker's address, SUITE_LAB its lab's, or empty.
 */
abstract class BrokerTest {
	static final IsolationLevel COMMITTED = IsolationLevel.READ_COMMITTED;
	static final IsolationLevel UNCOMMITTED = IsolationLevel.READ_UNCOMMITTED;
	static final Duration SOON = Duration.ofSeconds(30);

	static final String ADDRESS = System.getenv("SUITE_BROKER");
	static final Lab LAB = lab(System.getenv().getOrDefault("SUITE_LAB", ""));
	static final Admin ADMIN = Admin.create(Map.of("bootstrap.servers", ADDRESS));
	private static final long RUN = System.nanoTime();
	private static final AtomicInteger TESTS = new AtomicInteger();

	private final List<Runnable> ends = new ArrayList<>();
	private String suffix = "";

	private static Lab lab(String url) {
		return url.isEmpty() ? null : Lab.ofCluster(url, "default", ADDRESS);
	}

	@BeforeEach
	void anew() {
		if (LAB != null) {
			LAB.reset();
		} else {
			suffix = "-" + RUN + "-" + TESTS.incrementAndGet();
		}
	}

	@AfterEach
	void closeAll() {
		ends.forEach(Runnable::run);
	}

	/** The name of a topic, a group or a transactional ID in this test. */
	String name(String of) {
		return of + suffix;
	}

	/** Creates a topic with configurations {@code name=value}, and returns its name. */
	String topic(String of, int partitions, String... configs) {
		Map<String, String> values = new HashMap<>();
		for (String config : configs) {
			values.put(config.split("=", 2)[0], config.split("=", 2)[1]);
		}
		var topic = new NewTopic(name(of), Optional.of(partitions), Optional.empty()).configs(values);
		done(() -> ADMIN.createTopics(List.of(topic)).all().get());
		return topic.name();
	}

	/** A producer with configurations {@code name=value}, which is closed with the test, without a wait. */
	KafkaProducer<String, String> producer(String... configs) {
		Map<String, Object> values = configs(configs);
		var producer = new KafkaProducer<>(values, new StringSerializer(), new StringSerializer());
		ends.add(() -> producer.close(Duration.ZERO));
		return producer;
	}

	/** A producer of this transactional ID that has called initTransactions. */
	KafkaProducer<String, String> transactional(String id, String... configs) {
		List<String> all = new ArrayList<>(List.of(configs));
		all.add("transactional.id=" + name(id));
		var producer = producer(all.toArray(String[]::new));
		producer.initTransactions();
		return producer;
	}

	/** A consumer, without a group where configs have none. */
	KafkaConsumer<String, String> consumer(IsolationLevel isolation, String... configs) {
		Map<String, Object> values = configs(configs);
		values.put("isolation.level", isolation.toString());
		values.putIfAbsent("auto.offset.reset", "earliest");
		values.put("enable.auto.commit", "false");
		var consumer = new KafkaConsumer<>(values, new StringDeserializer(), new StringDeserializer());
		ends.add(() -> consumer.close(CloseOptions.timeout(Duration.ZERO)));
		return consumer;
	}

	/** A member of a group, as {@code classic} or {@code consumer}, that reads what is committed. */
	KafkaConsumer<String, String> member(String group, String protocol, String... configs) {
		List<String> all = new ArrayList<>(List.of(configs));
		all.addAll(List.of("group.id=" + name(group), "group.protocol=" + protocol));
		return consumer(COMMITTED, all.toArray(String[]::new));
	}

	private static Map<String, Object> configs(String... configs) {
		Map<String, Object> values = new HashMap<>(Map.of("bootstrap.servers", ADDRESS));
		for (String config : configs) {
			values.put(config.split("=", 2)[0], config.split("=", 2)[1]);
		}
		return values;
	}

	/** Sends values to a partition, and waits until they are acknowledged. */
	static void send(KafkaProducer<String, String> producer, String topic, int partition, String... values) {
		for (String value : values) {
			producer.send(new ProducerRecord<>(topic, partition, null, value));
		}
		producer.flush();
	}

	/** A transaction with values in partition 0, which commit ends in that way. */
	static void transaction(KafkaProducer<String, String> producer, boolean commit, String topic, String... values) {
		producer.beginTransaction();
		send(producer, topic, 0, values);
		end(producer, commit);
	}

	static void end(KafkaProducer<String, String> producer, boolean commit) {
		if (commit) {
			producer.commitTransaction();
		} else {
			producer.abortTransaction();
		}
	}

	static List<TopicPartition> partitions(String topic) {
		var described = done(() -> ADMIN.describeTopics(List.of(topic)).allTopicNames().get()).get(topic);
		return IntStream.range(0, described.partitions().size()).mapToObj(p -> new TopicPartition(topic, p)).toList();
	}

	/** The last stable offset, or the high watermark for read_uncommitted. */
	static long end(TopicPartition partition, IsolationLevel isolation) {
		return done(() -> ADMIN.listOffsets(Map.of(partition, OffsetSpec.latest()), new ListOffsetsOptions(isolation))
				.partitionResult(partition).get()).offset();
	}

	/** Waits for the end of a partition: Kafka writes the markers of a transaction after it has answered. */
	static void awaitEnd(String topic, int partition, IsolationLevel isolation, long offset) {
		var tp = new TopicPartition(topic, partition);
		await(offset, () -> end(tp, isolation));
	}

	/** Waits until got gives what is wanted, and fails with what it gave last. */
	static <T> void await(T wanted, Supplier<T> got) {
		long deadline = System.nanoTime() + SOON.toNanos();
		T last = got.get();
		while (!wanted.equals(last) && System.nanoTime() < deadline) {
			Thread.onSpinWait();
			last = got.get();
		}
		assertEquals(wanted, last);
	}

	/** Waits until no transaction is open in the topic, and reads it. */
	List<ConsumerRecord<String, String>> committed(String topic) {
		for (TopicPartition tp : partitions(topic)) {
			await(true, () -> end(tp, COMMITTED) == end(tp, UNCOMMITTED));
		}
		return read(topic, COMMITTED);
	}

	/** All records of a topic that a reader gets now, in the order of their partitions and offsets. */
	List<ConsumerRecord<String, String>> read(String topic, IsolationLevel isolation) {
		var consumer = consumer(isolation);
		List<TopicPartition> partitions = partitions(topic);
		consumer.assign(partitions);
		consumer.seekToBeginning(partitions);
		var ends = consumer.endOffsets(partitions);
		List<ConsumerRecord<String, String>> records = new ArrayList<>();
		long deadline = System.nanoTime() + SOON.toNanos();
		while (partitions.stream().anyMatch(tp -> consumer.position(tp) < ends.get(tp))) {
			if (System.nanoTime() > deadline) {
				fail("the reader does not get to " + ends + ", only " + records.size() + " records");
			}
			consumer.poll(Duration.ofMillis(200)).forEach(records::add);
		}
		records.sort(Comparator.<ConsumerRecord<?, ?>>comparingInt(ConsumerRecord::partition)
				.thenComparingLong(ConsumerRecord::offset));
		return records;
	}

	static List<String> values(List<ConsumerRecord<String, String>> records) {
		return records.stream().map(ConsumerRecord::value).toList();
	}

	/** The numbers from begin to end as values. */
	static String[] numbers(int begin, int end) {
		return IntStream.range(begin, end).mapToObj(Integer::toString).toArray(String[]::new);
	}

	interface Asked<T> {
		T get() throws ExecutionException, InterruptedException;
	}

	/** What an asynchronous call gives; its error is thrown as it is. */
	static <T> T done(Asked<T> asked) {
		try {
			return asked.get();
		} catch (ExecutionException e) {
			throw e.getCause() instanceof RuntimeException cause ? cause : new IllegalStateException(e.getCause());
		} catch (InterruptedException e) {
			Thread.currentThread().interrupt();
			throw new IllegalStateException(e);
		}
	}
}
