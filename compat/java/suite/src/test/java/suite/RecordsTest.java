package suite;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.record.TimestampType;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** What stands in records comes back as it was written, and the latest values of keys are a table. */
class RecordsTest extends BrokerTest {
	private ConsumerRecord<String, String> committedAlone(ProducerRecord<String, String> record, String... configs) {
		var producer = transactional("orders-1", configs);
		producer.beginTransaction();
		producer.send(record);
		producer.commitTransaction();
		var read = committed(record.topic());
		assertEquals(1, read.size());
		return read.get(0);
	}

	@ParameterizedTest(name = "key {0}, value {1}")
	@CsvSource(nullValues = "null", emptyValue = "", value = {
			"k, v", "null, v", "k, null", "null, null", "'', ''", "ключ, 値" })
	void keysAndValues(String key, String value) {
		var read = committedAlone(new ProducerRecord<>(topic("orders", 1), key, value));
		assertEquals(key, read.key());
		assertEquals(value, read.value());
	}

	@ParameterizedTest(name = "{0} bytes, {1}")
	@CsvSource({ "100000, none", "900000, none", "900000, lz4", "900000, zstd" })
	void largeValues(int size, String compression) {
		String value = "0123456789".repeat(size / 10);
		var read = committedAlone(new ProducerRecord<>(topic("orders", 1), value), "compression.type=" + compression);
		assertEquals(value, read.value());
	}

	@ParameterizedTest(name = "headers {0}")
	@ValueSource(strings = { "a=1", "a=1 b=2", "a=1 a=2", "a", "a=", "trace=x baggage=y a=1 b=2 c=3" })
	void headers(String headers) {
		List<Header> sent = new ArrayList<>();
		for (String header : headers.split(" ")) {
			String[] parts = header.split("=", 2);
			sent.add(new RecordHeader(parts[0], parts.length == 1 ? null : parts[1].getBytes(StandardCharsets.UTF_8)));
		}
		var read = committedAlone(new ProducerRecord<>(topic("orders", 1), null, "k", "v", sent));
		Header[] got = read.headers().toArray();
		assertEquals(sent.size(), got.length);
		for (int i = 0; i < got.length; i++) {
			assertEquals(sent.get(i).key(), got[i].key());
			assertArrayEquals(sent.get(i).value(), got[i].value());
		}
		if (!headers.contains("=")) {
			assertNull(got[0].value());
		}
	}

	@ParameterizedTest(name = "timestamp {0}")
	@ValueSource(longs = { 0, 1, 1_000_000_000_000L })
	void timestampsOfTheProducer(long timestamp) {
		var read = committedAlone(new ProducerRecord<>(topic("orders", 1), 0, timestamp, "k", "v"));
		assertEquals(timestamp, read.timestamp());
		assertEquals(TimestampType.CREATE_TIME, read.timestampType());
	}

	@ParameterizedTest(name = "{0} records")
	@ValueSource(ints = { 1, 50 })
	void timestampsOfTheBroker(int records) {
		String topic = topic("orders", 1, "message.timestamp.type=LogAppendTime");
		var producer = transactional("orders-1");
		producer.beginTransaction();
		for (String value : numbers(0, records)) {
			producer.send(new ProducerRecord<>(topic, 0, 5L, null, value));
		}
		producer.commitTransaction();
		for (var read : committed(topic)) {
			assertTrue(read.timestamp() > 1_000_000_000_000L, "not the time of the append");
			assertEquals(TimestampType.LOG_APPEND_TIME, read.timestampType());
		}
	}

	/** A word is a change of the table, {@code k=v}, or {@code k=} to remove k; + commits, - aborts those before it. */
	@ParameterizedTest(name = "{0}")
	@CsvSource(delimiter = '|', emptyValue = "", value = {
			"a=1 +                        | a=1",
			"a=1 -                        | ''",
			"a=1 + a=2 +                  | a=2",
			"a=1 + a=2 -                  | a=1",
			"a=1 + a= +                   | ''",
			"a=1 + a= -                   | a=1",
			"a=1 b=2 + a=3 b= -           | a=1 b=2",
			"a=1 b=2 + a=3 b= +           | a=3",
			"a=1 + a=2 - a=3 +            | a=3",
			"a=1 - b=2 + a=4 b=3 - c=5 +  | b=2 c=5" })
	void tableOfACompactedTopic(String changes, String table) {
		String topic = topic("accounts", 1, "cleanup.policy=compact");
		var producer = transactional("accounts-1");
		boolean open = false;
		for (String word : changes.split(" ")) {
			if (!open) {
				producer.beginTransaction();
				open = true;
			}
			if (word.contains("=")) {
				String[] change = word.split("=", 2);
				producer.send(new ProducerRecord<>(topic, change[0], change[1].isEmpty() ? null : change[1]));
			} else {
				end(producer, word.equals("+"));
				open = false;
			}
		}
		Map<String, String> latest = new HashMap<>();
		for (var record : committed(topic)) {
			if (record.value() == null) {
				latest.remove(record.key());
			} else {
				latest.put(record.key(), record.value());
			}
		}
		Map<String, String> wanted = new HashMap<>();
		for (String entry : table.isEmpty() ? new String[0] : table.split(" ")) {
			wanted.put(entry.split("=")[0], entry.split("=")[1]);
		}
		assertEquals(wanted, latest);
	}
}
