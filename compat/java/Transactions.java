import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;

import org.apache.kafka.clients.consumer.ConsumerGroupMetadata;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.StringSerializer;

/** The application of test_connections.py with Kafka's own producer. See there for what it does. */
class Transactions {
	static final int THREADS = 4, RECORDS = 10;

	public static void main(String[] args) throws Exception {
		String address = args[0], topic = args[1], transactionalId = args[2], timeoutMs = args[4];
		int transactions = Integer.parseInt(args[3]);
		Map<String, Object> config = Map.of("bootstrap.servers", address, "transactional.id", transactionalId,
				"request.timeout.ms", timeoutMs, "delivery.timeout.ms", "30000");
		ExecutorService threads = Executors.newFixedThreadPool(THREADS);
		try (var producer = new KafkaProducer<>(config, new StringSerializer(), new StringSerializer())) {
			producer.initTransactions();
			for (int i = 0; i < transactions; i++) {
				producer.beginTransaction();
				send(producer, threads, topic, i);
				producer.sendOffsetsToTransaction(Map.of(new TopicPartition(topic, 0), new OffsetAndMetadata(i + 1)),
						new ConsumerGroupMetadata(transactionalId));
				if (i % 3 == 1)
					producer.abortTransaction();
				else
					producer.commitTransaction();
			}
		} finally {
			threads.shutdown();
		}
	}

	static void send(KafkaProducer<String, String> producer, ExecutorService threads, String topic, int transaction)
			throws Exception {
		List<Future<?>> senders = new ArrayList<>();
		for (int thread = 0; thread < THREADS; thread++) {
			int partition = thread;
			senders.add(threads.submit(() -> {
				for (int n = 0; n < RECORDS; n++)
					producer.send(new ProducerRecord<>(topic, partition, null, transaction + "-" + partition + "-" + n));
			}));
		}
		for (Future<?> sender : senders)
			sender.get();
		producer.flush();
	}
}
