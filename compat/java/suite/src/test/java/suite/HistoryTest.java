package suite;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/**
 * What producers do in one partition, word by word, and what readers see then. {@code a1} is a record of the producer a
 * in its transaction, {@code a+} commits and {@code a-} aborts that; {@code p1} is a record without a transaction.
 */
class HistoryTest extends BrokerTest {
	@ParameterizedTest(name = "{0}")
	@CsvSource(delimiter = '|', emptyValue = "", textBlock = """
			p1 p2                         | p1 p2    | p1 p2       | 2  | 2
			a1                            | ''       | a1          | 0  | 1
			a1 a+                         | a1       | a1          | 2  | 2
			a1 a-                         | ''       | a1          | 2  | 2
			p1 a1                         | p1       | p1 a1       | 1  | 2
			a1 p1                         | ''       | a1 p1       | 0  | 2
			p1 a1 p2 a+ p3                | p1 a1 p2 p3 | p1 a1 p2 p3 | 5 | 5
			p1 a1 p2 a- p3                | p1 p2 p3 | p1 a1 p2 p3 | 5  | 5
			a1 a+ a2                      | a1       | a1 a2       | 2  | 3
			a1 a- a2                      | ''       | a1 a2       | 2  | 3
			a1 a+ a2 a+                   | a1 a2    | a1 a2       | 4  | 4
			a1 a+ a2 a-                   | a1       | a1 a2       | 4  | 4
			a1 a- a2 a+                   | a2       | a1 a2       | 4  | 4
			a1 a- a2 a-                   | ''       | a1 a2       | 4  | 4
			a1 a+ a2 a- a3 a+             | a1 a3    | a1 a2 a3    | 6  | 6
			a1 b1                         | ''       | a1 b1       | 0  | 2
			a1 b1 a+                      | a1       | a1 b1       | 1  | 3
			a1 b1 b+                      | ''       | a1 b1       | 0  | 3
			a1 b1 a-                      | ''       | a1 b1       | 1  | 3
			a1 b1 b-                      | ''       | a1 b1       | 0  | 3
			a1 b1 a+ b+                   | a1 b1    | a1 b1       | 4  | 4
			a1 b1 b+ a+                   | a1 b1    | a1 b1       | 4  | 4
			a1 b1 a+ b-                   | a1       | a1 b1       | 4  | 4
			a1 b1 a- b+                   | b1       | a1 b1       | 4  | 4
			a1 b1 b- a+                   | a1       | a1 b1       | 4  | 4
			a1 b1 a- b-                   | ''       | a1 b1       | 4  | 4
			a1 b1 a2 b2 a- b+             | b1 b2    | a1 b1 a2 b2 | 6  | 6
			a1 b1 p1 a+                   | a1       | a1 b1 p1    | 1  | 4
			a1 b1 p1 a- b+                | b1 p1    | a1 b1 p1    | 5  | 5
			a1 b1 a+ a2                   | a1       | a1 b1 a2    | 1  | 4
			a1 b1 a+ a2 b+                | a1 b1    | a1 b1 a2    | 3  | 5
			a1 b1 a- a2 a+ b+             | b1 a2    | a1 b1 a2    | 6  | 6
			a1 b1 c1 b-                   | ''       | a1 b1 c1    | 0  | 4
			a1 b1 c1 b- a+                | a1       | a1 b1 c1    | 2  | 5
			a1 b1 c1 c+ a- b+             | b1 c1    | a1 b1 c1    | 6  | 6
			a+ b-                         | ''       | ''          | 0  | 0
			a+ p1 b- a1 a+                | p1 a1    | p1 a1       | 3  | 3
			""")
	void readersSee(String history, String committed, String all, long stable, long end) {
		String topic = topic("history", 1);
		new Run(topic).all(history.split(" "));
		awaitEnd(topic, 0, COMMITTED, stable);
		assertEquals(words(committed), values(read(topic, COMMITTED)));
		assertEquals(words(all), values(read(topic, UNCOMMITTED)));
		awaitEnd(topic, 0, UNCOMMITTED, end);
	}

	private static List<String> words(String text) {
		return text.isEmpty() ? List.of() : List.of(text.split(" "));
	}

	/** A history on its way. */
	private final class Run {
		private final String topic;
		private final Map<Character, KafkaProducer<String, String>> producers = new HashMap<>();
		private final Set<Character> begun = new HashSet<>();
		private final Set<Character> written = new HashSet<>();
		private long end;

		Run(String topic) {
			this.topic = topic;
		}

		void all(String... words) {
			for (String word : words) {
				char who = word.charAt(0);
				if (who == 'p') {
					send(producers.computeIfAbsent(who, p -> producer()), topic, 0, word);
					end++;
				} else {
					transactional(who, word);
				}
			}
		}

		private void transactional(char who, String word) {
			var producer = producers.computeIfAbsent(who, id -> HistoryTest.this.transactional(id.toString()));
			if (begun.add(who)) {
				producer.beginTransaction();
			}
			if (Character.isDigit(word.charAt(1))) {
				send(producer, topic, 0, word);
				written.add(who);
				end++;
				return;
			}
			BrokerTest.end(producer, word.charAt(1) == '+');
			begun.remove(who);
			if (written.remove(who)) {
				end++; // the marker, before anything else is written
				awaitEnd(topic, 0, UNCOMMITTED, end);
			}
		}
	}
}
