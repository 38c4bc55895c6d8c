import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Properties;
import java.util.Random;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.IntStream;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.ListShareGroupOffsetsSpec;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.AcknowledgeType;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaShareConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.errors.RetriableException;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

// Members of a share group work through the records of a topic. They accept, release, or end without a word; the broker may
// be killed meanwhile. Every record is accepted at least once, none
// is delivered more often than allowed, and nothing is left.
//
//   java ShareGroups.java BROKER RECORDS MEMBERS
//
// It prints "half" when half of the records have been accepted: that is the time to kill the broker.
public class ShareGroups {
    static final int LIMIT = 10;

    // Records whose acceptance was sent; the answer may have been lost with the broker.
    static final Map<String, Boolean> sent = new ConcurrentHashMap<>();
    static final Map<String, AtomicInteger> accepted = new ConcurrentHashMap<>();
    static final Map<String, AtomicInteger> deliveries = new ConcurrentHashMap<>();
    static final AtomicBoolean done = new AtomicBoolean();
    static final List<String> problems = Collections.synchronizedList(new ArrayList<>());

    public static void main(String[] args) throws Exception {
        String broker = args[0];
        int records = Integer.parseInt(args[1]), members = Integer.parseInt(args[2]);
        String name = "share-" + System.nanoTime();
        Properties common = new Properties();
        common.put("bootstrap.servers", broker);
        try (Admin admin = Admin.create(common)) {
            admin.createTopics(List.of(new NewTopic(name, 3, (short) 1))).all().get();
            ConfigResource group = new ConfigResource(ConfigResource.Type.GROUP, name);
            admin.incrementalAlterConfigs(Map.of(group, List.of(
                    set("share.auto.offset.reset", "earliest"), set("share.delivery.count.limit", "" + LIMIT),
                    set("share.record.lock.duration.ms", "15000")))).all().get();
            try (KafkaProducer<String, String> producer =
                    new KafkaProducer<>(common, new StringSerializer(), new StringSerializer())) {
                for (int i = 0; i < records; i++) {
                    producer.send(new ProducerRecord<>(name, "" + i, "" + i));
                }
            }
            List<Thread> threads = new ArrayList<>(IntStream.range(0, members)
                    .mapToObj(i -> new Thread(() -> work(common, name, i))).toList());
            threads.forEach(Thread::start);
            await(records / 2);
            System.out.println("half");
            await(records);
            done.set(true);
            for (Thread t : threads) {
                t.join();
            }
            finish(admin, name, records);
        }
    }

    static AlterConfigOp set(String name, String value) {
        return new AlterConfigOp(new ConfigEntry(name, value), AlterConfigOp.OpType.SET);
    }

    static void await(int records) throws InterruptedException {
        long end = System.nanoTime() + Duration.ofSeconds(120).toNanos();
        while (sent.size() < records) {
            if (System.nanoTime() > end) {
                System.out.println("lost: " + (records - sent.size()) + " of " + records + " records, " + problems);
                System.exit(1);
            }
            Thread.sleep(20);
        }
    }

    // One member after the other, each with a client of its own. Some end with records that they have not acknowledged.
    static void work(Properties common, String name, int number) {
        Random random = new Random(number);
        while (!done.get()) {
            Properties config = new Properties();
            config.putAll(common);
            config.put("group.id", name);
            config.put("share.acknowledgement.mode", "explicit");
            config.put("max.poll.records", "50");
            config.put("share.acquire.mode", number % 2 == 0 ? "batch_optimized" : "record_limit");
            try (KafkaShareConsumer<String, String> consumer =
                    new KafkaShareConsumer<>(config, new StringDeserializer(), new StringDeserializer())) {
                consumer.subscribe(List.of(name));
                for (int polls = 0; polls < 40 && !done.get(); polls++) {
                    if (!poll(consumer, random, number % 3 == 2 && polls > 5)) {
                        break;
                    }
                }
            } catch (KafkaException e) {
                if (!(e instanceof RetriableException)) {
                    problems.add(e.toString());
                }
            }
        }
    }

    // poll says whether the member lives on.
    static boolean poll(KafkaShareConsumer<String, String> consumer, Random random, boolean mayCrash) {
        ConsumerRecords<String, String> records = consumer.poll(Duration.ofMillis(200));
        Map<String, Boolean> taken = new HashMap<>();
        boolean crash = mayCrash && !records.isEmpty() && random.nextInt(4) == 0;
        for (ConsumerRecord<String, String> r : records) {
            int count = r.deliveryCount().orElse((short) 1);
            if (count > LIMIT) {
                problems.add("offset " + r.offset() + " is delivered for the " + count + "th time");
            }
            deliveries.computeIfAbsent(r.key(), k -> new AtomicInteger()).incrementAndGet();
            if (!crash) {
                boolean accept = count > 3 || random.nextInt(10) > 0;
                consumer.acknowledge(r, accept ? AcknowledgeType.ACCEPT : AcknowledgeType.RELEASE);
                taken.put(r.key(), accept);
            }
        }
        if (crash) {
            return false; // with records that it has said nothing about
        }
        taken.forEach((key, accept) -> {
            if (accept) {
                sent.put(key, true);
            }
        });
        Map<?, Optional<KafkaException>> failed = consumer.commitSync(Duration.ofSeconds(10));
        if (failed.values().stream().allMatch(Optional::isEmpty)) {
            taken.forEach((key, accept) -> {
                if (accept) {
                    accepted.computeIfAbsent(key, k -> new AtomicInteger()).incrementAndGet();
                }
            });
        }
        return true;
    }

    static void finish(Admin admin, String name, int records) throws Exception {
        long lag = -1;
        for (int i = 0; i < 100 && lag != 0; i++) {
            lag = admin.listShareGroupOffsets(Map.of(name, new ListShareGroupOffsetsSpec())).partitionsToOffsetInfo(name).get()
                    .values().stream().mapToLong(o -> o.lag().orElse(1L)).sum();
            Thread.sleep(50);
        }
        if (lag != 0) {
            problems.add("lag " + lag);
        }
        int most = deliveries.values().stream().mapToInt(AtomicInteger::get).max().orElse(0);
        long twice = accepted.values().stream().filter(n -> n.get() > 1).count();
        System.out.printf("%d records, %d known to be accepted, %d of them more than once, at most %d deliveries, problems %s%n",
                sent.size(), accepted.size(), twice, most, problems);
        System.exit(problems.isEmpty() && sent.size() == records ? 0 : 1);
    }
}
