import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.time.Duration;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;

import org.apache.kafka.clients.consumer.ConsumerGroupMetadata;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

/**
 * Kafka's own producers and consumers, as clients.py drives them. A line of the input is the name of a client, a
 * command and its arguments; the answer is a line with the name, ok or error, and a result. Each client has a thread:
 * one that waits does not hold up the others.
 */
class Clients {
	static final Duration LIMIT = Duration.ofSeconds(40);

	/** A client, which carries out a command and returns its result. */
	interface Client {
		Object run(String[] words) throws Exception;
	}

	public static void main(String[] args) throws Exception {
		Map<String, Client> clients = new ConcurrentHashMap<>();
		Map<String, ExecutorService> threads = new ConcurrentHashMap<>();
		BufferedReader in = new BufferedReader(new InputStreamReader(System.in));
		for (String line; (line = in.readLine()) != null;) {
			String[] words = line.split(" ");
			String name = words[0];
			threads.computeIfAbsent(name, n -> Executors.newSingleThreadExecutor()).submit(() -> {
				try {
					answer(name, "ok", switch (words[1]) {
						case "producer" -> clients.put(name, producer(words[2], words[3], words[4], words[5]));
						case "consumer" -> clients.put(name, consumer(words[2], words[3]));
						default -> clients.get(name).run(words);
					});
				} catch (ExecutionException e) {
					answer(name, "error", e.getCause().getClass().getSimpleName() + " " + e.getCause().getMessage());
				} catch (Throwable e) {
					answer(name, "error", e.getClass().getSimpleName() + " " + e.getMessage());
				}
			});
		}
		System.exit(0);
	}

	static synchronized void answer(String name, String outcome, Object result) {
		System.out.println(name + " " + outcome + " " + result);
	}

	static Client producer(String address, String transactionalId, String timeoutMs, String lingerMs) {
		var producer = new KafkaProducer<>(Map.<String, Object>of("bootstrap.servers", address, "transactional.id",
				transactionalId, "transaction.timeout.ms", timeoutMs, "linger.ms", lingerMs), new StringSerializer(), new StringSerializer());
		producer.initTransactions();
		return words -> {
			switch (words[1]) {
				case "begin" -> producer.beginTransaction();
				case "send" -> producer.send(new ProducerRecord<>(words[2], Integer.parseInt(words[3]), null, words[4])).get();
				case "sendAll" -> {
					List<Future<RecordMetadata>> sent = Arrays.stream(words).skip(4)
							.map(p -> producer.send(new ProducerRecord<>(words[2], Integer.parseInt(p), null, words[3]))).toList();
					StringBuilder errors = new StringBuilder();
					for (var one : sent)
						errors.append(errorOf(one)).append(' ');
					return errors;
				}
				case "offsets" -> producer.sendOffsetsToTransaction(
						Map.of(partition(words[3], words[4]), new OffsetAndMetadata(Long.parseLong(words[5]))),
						new ConsumerGroupMetadata(words[2]));
				case "commit" -> producer.commitTransaction();
				case "abort" -> producer.abortTransaction();
				case "close" -> producer.close(Duration.ZERO);
				default -> throw new IllegalArgumentException(words[1]);
			}
			return "";
		};
	}

	/** The name of the error of a send, a dash for none. */
	static String errorOf(Future<RecordMetadata> sent) throws InterruptedException {
		try {
			sent.get();
			return "-";
		} catch (ExecutionException e) {
			return e.getCause().getClass().getSimpleName();
		}
	}

	static Client consumer(String address, String group) {
		var consumer = new KafkaConsumer<>(Map.<String, Object>of("bootstrap.servers", address, "group.id", group,
				"isolation.level", "read_committed", "enable.auto.commit", "false", "auto.offset.reset", "earliest",
				"session.timeout.ms", "10000", "heartbeat.interval.ms", "500", "max.poll.records", "1"), new StringDeserializer(), new StringDeserializer());
		return words -> {
			switch (words[1]) {
				case "committed" -> {
					TopicPartition of = partition(words[2], words[3]);
					return consumer.committed(Set.of(of), LIMIT).get(of).offset();
				}
				case "join" -> {
					consumer.subscribe(List.of(words[2]));
					for (long end = System.nanoTime() + LIMIT.toNanos(); consumer.assignment().isEmpty();) {
						if (System.nanoTime() > end)
							throw new IllegalStateException("no partition is assigned");
						consumer.poll(Duration.ofMillis(50));
					}
				}
				case "take" -> {
					if (consumer.subscription().isEmpty())
						consumer.subscribe(List.of(words[2]));
					for (long end = System.nanoTime() + LIMIT.toNanos(); System.nanoTime() < end;)
						for (var record : consumer.poll(Duration.ofMillis(100)))
							return record.offset() + " " + record.value();
					throw new IllegalStateException("there is no record");
				}
				case "rewind" -> {
					consumer.seekToBeginning(consumer.assignment());
					consumer.committed(consumer.assignment(), LIMIT).forEach((of, offset) -> {
						if (offset != null)
							consumer.seek(of, offset);
					});
				}
				case "close" -> consumer.close(Duration.ofSeconds(5));
				default -> throw new IllegalArgumentException(words[1]);
			}
			return "";
		};
	}

	static TopicPartition partition(String topic, String partition) {
		return new TopicPartition(topic, Integer.parseInt(partition));
	}
}
