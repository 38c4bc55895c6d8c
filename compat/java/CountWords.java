import java.time.Duration;
import java.util.Map;
import java.util.Properties;

import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.state.Stores;

/**
 * Counts words with Kafka Streams, exactly once, as a member of a streams group (KIP-1071): through a repartition topic
 * and a changelog, which the broker makes. Each count of each word is written. Runs until it is stopped. Arguments:
 * address, application ID, state directory, and if need be a client ID and how often to commit in milliseconds.
 */
class CountWords {
	public static void main(String[] args) throws Exception {
		String address = args[0], name = args[1], directory = args[2];
		Properties config = new Properties();
		config.putAll(Map.of("bootstrap.servers", address, "application.id", name, "group.protocol", "streams",
				"processing.guarantee", "exactly_once_v2", "state.dir", directory, "num.stream.threads", 2,
				"default.key.serde", Serdes.StringSerde.class, "default.value.serde", Serdes.StringSerde.class));
		config.putAll(Map.of("statestore.cache.max.bytes", 0, "commit.interval.ms", 100, "auto.offset.reset", "earliest"));
		if (args.length > 3)
			config.putAll(Map.of("client.id", args[3], "commit.interval.ms", args[4],
					"producer.transaction.timeout.ms", 600_000));
		StreamsBuilder builder = new StreamsBuilder();
		builder.<String, String>stream(name + "-words")
				.groupBy((key, word) -> word)
				.count(Materialized.as(Stores.inMemoryKeyValueStore("counts")))
				.toStream().mapValues(String::valueOf)
				.to(name + "-counts");
		KafkaStreams streams = new KafkaStreams(builder.build(), config);
		streams.setStateListener((now, before) -> System.out.println("state " + now));
		Runtime.getRuntime().addShutdownHook(new Thread(() -> streams.close(Duration.ofSeconds(20))));
		streams.start();
		Thread.currentThread().join();
	}
}
