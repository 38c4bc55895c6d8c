import java.time.Duration;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.function.BooleanSupplier;

import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.consumer.SubscriptionPattern;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.GroupState;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

/** The conversations of test_groups.py with Kafka's own consumer. Prints what it has shown, and DONE at the end. */
class ConsumerGroups {
	static String address;
	static Admin admin;

	public static void main(String[] args) throws Exception {
		address = args[0];
		String name = args[1];
		admin = Admin.create(Map.of("bootstrap.servers", address));
		admin.createTopics(List.of(new NewTopic(name, 4, (short) 1), new NewTopic(name + "-out", 1, (short) 1))).all().get();
		rebalances(name);
		regularExpression(name);
		transactions(name);
		migration(name);
		admin.close();
		System.out.println("DONE");
	}

	static KafkaConsumer<String, String> consumer(String group, String protocol) {
		Map<String, Object> config = new HashMap<>(Map.of("bootstrap.servers", address, "group.id", group,
				"group.protocol", protocol, "enable.auto.commit", "false", "auto.offset.reset", "earliest",
				"isolation.level", "read_committed"));
		if (protocol.equals("classic"))
			config.put("heartbeat.interval.ms", "200");
		return new KafkaConsumer<>(config, new StringDeserializer(), new StringDeserializer());
	}

	static KafkaProducer<String, String> producer(Map<String, Object> more) {
		Map<String, Object> config = new HashMap<>(more);
		config.put("bootstrap.servers", address);
		return new KafkaProducer<>(config, new StringSerializer(), new StringSerializer());
	}

	static void send(String topic, int records) {
		try (var producer = producer(Map.of())) {
			for (int i = 0; i < records; i++)
				producer.send(new ProducerRecord<>(topic, i % 4, null, "" + i));
		}
	}

	@SafeVarargs
	static void until(String what, BooleanSupplier done, KafkaConsumer<String, String>... polled) {
		long end = System.nanoTime() + 30_000_000_000L;
		while (!done.getAsBoolean()) {
			if (System.nanoTime() > end)
				throw new AssertionError("not within 30 s: " + what);
			for (var c : polled)
				c.poll(Duration.ofMillis(10));
		}
		System.out.println(what);
	}

	static void rebalances(String topic) throws Exception {
		send(topic, 40);
		var a = consumer(topic, "consumer");
		a.subscribe(List.of(topic));
		Set<String> seen = new TreeSet<>();
		while (seen.size() < 40)
			a.poll(Duration.ofMillis(100)).forEach(r -> seen.add(r.value()));
		a.commitSync();
		var b = consumer(topic, "consumer");
		b.subscribe(List.of(topic));
		until("each has two partitions", () -> a.assignment().size() == 2 && b.assignment().size() == 2, a, b);
		b.commitSync();
		var described = admin.describeConsumerGroups(List.of(topic)).all().get().get(topic);
		if (described.groupState() != GroupState.STABLE || described.members().size() != 2)
			throw new AssertionError(described);
		b.close();
		until("the other has them all", () -> a.assignment().size() == 4, a);
		for (var e : a.committed(a.assignment()).entrySet())
			if (e.getValue() == null || e.getValue().offset() != 10)
				throw new AssertionError("committed " + e);
		a.close();
		if (admin.describeConsumerGroups(List.of(topic)).all().get().get(topic).groupState() != GroupState.EMPTY)
			throw new AssertionError("the group has members");
	}

	static void regularExpression(String topic) throws Exception {
		var c = consumer(topic + "-regex", "consumer");
		c.subscribe(new SubscriptionPattern(topic + "(-out)?"));
		until("a regular expression stands for both topics", () -> c.assignment().size() == 5, c);
		c.close();
	}

	static void transactions(String topic) throws Exception {
		try (var c = consumer(topic + "-copier", "consumer");
				var p = producer(Map.of("transactional.id", topic))) {
			p.initTransactions();
			c.subscribe(List.of(topic));
			int copied = 0;
			while (copied < 40) {
				ConsumerRecords<String, String> records = c.poll(Duration.ofMillis(100));
				if (records.isEmpty())
					continue;
				p.beginTransaction();
				Map<TopicPartition, OffsetAndMetadata> offsets = new HashMap<>();
				for (var r : records) {
					p.send(new ProducerRecord<>(topic + "-out", r.value()));
					offsets.put(new TopicPartition(r.topic(), r.partition()), new OffsetAndMetadata(r.offset() + 1));
				}
				p.sendOffsetsToTransaction(offsets, c.groupMetadata());
				p.commitTransaction();
				copied += records.count();
			}
		}
		Set<String> seen = new TreeSet<>();
		try (var reader = consumer(topic + "-reader", "consumer")) {
			reader.subscribe(List.of(topic + "-out"));
			while (seen.size() < 40)
				for (var r : reader.poll(Duration.ofMillis(100)))
					if (!seen.add(r.value()))
						throw new AssertionError("twice: " + r);
		}
		System.out.println("copied in transactions");
	}

	/** A classic member stays in its group when it becomes one of the consumer protocol, and back. */
	static void migration(String topic) {
		String group = topic + "-migration";
		var classic = consumer(group, "classic");
		classic.subscribe(List.of(topic));
		until("the classic member has them all", () -> classic.assignment().size() == 4, classic);
		var modern = consumer(group, "consumer");
		modern.subscribe(List.of(topic));
		until("both have two", () -> classic.assignment().size() == 2 && modern.assignment().size() == 2, classic, modern);
		classic.commitSync();
		modern.commitSync();
		modern.close();
		until("the classic one has them all again", () -> classic.assignment().size() == 4, classic);
		classic.close();
	}
}
