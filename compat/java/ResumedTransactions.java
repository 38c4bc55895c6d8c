import java.lang.reflect.Field;
import java.util.Map;

import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.StringSerializer;

/**
 * Transactions that one producer writes and another one commits, as Flink's sink does: its committer takes over the
 * transactional ID, the producer ID and the epoch, by reflection. The committer lives for long, so its connection is
 * older than that of the producer whose transaction it commits. Both have the same client ID.
 */
class ResumedTransactions {
	public static void main(String[] args) throws Exception {
		String address = args[0], topic = args[1], transactionalId = args[2];
		int transactions = Integer.parseInt(args[3]);
		try (var committer = producer(address, transactionalId + "-committer")) {
			committer.initTransactions(); // opens the connection
			for (int i = 0; i < transactions; i++) {
				try (var writer = producer(address, transactionalId + "-" + i)) {
					writer.initTransactions();
					writer.beginTransaction();
					writer.send(new ProducerRecord<>(topic, 0, null, Integer.toString(i)));
					writer.flush();
					resume(committer, writer);
					committer.commitTransaction();
				}
			}
		}
	}

	static KafkaProducer<String, String> producer(String address, String transactionalId) {
		Map<String, Object> config = Map.of("bootstrap.servers", address, "transactional.id", transactionalId,
				"client.id", "sink");
		return new KafkaProducer<>(config, new StringSerializer(), new StringSerializer());
	}

	/** Has the committer stand where the writer stands, in the middle of its transaction. */
	static void resume(KafkaProducer<?, ?> committer, KafkaProducer<?, ?> writer) throws Exception {
		Object to = field(KafkaProducer.class, "transactionManager").get(committer);
		Object from = field(KafkaProducer.class, "transactionManager").get(writer);
		for (String name : new String[] { "transactionalId", "producerIdAndEpoch", "currentState", "transactionStarted" })
			synchronized (to) {
				field(to.getClass(), name).set(to, field(from.getClass(), name).get(from));
			}
	}

	static Field field(Class<?> of, String name) throws Exception {
		Field field = of.getDeclaredField(name);
		field.setAccessible(true);
		return field;
	}
}
