import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Random;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
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

// Members of a share group work through the records of a topic (share-groups SG-90). They accept, release, or close with
// records that they have not acknowledged. Others are processes of their own, which are killed with SIGKILL while they
// hold acquired records. The broker may be killed meanwhile. Every record is accepted at least once, none is delivered
// more often than allowed, and nothing is left.
//
//   java ShareGroups BROKER RECORDS MEMBERS KILLS BROKER_KILLS
//
// There are MEMBERS members in this process, and two killed processes at a time, until KILLS are dead. Records are
// written until then, and at least RECORDS. "now" is printed BROKER_KILLS times: that is the time to kill the broker.
// A process of its own is called with: member BROKER GROUP SEED. It prints each record that is delivered and each that it
// accepts, and at last "holding", and waits for its end.
public class ShareGroups {
    static final int LIMIT = 10, PARTITIONS = 4, KILLED_AT_A_TIME = 2;
    static final long PATIENCE_NANOS = Duration.ofSeconds(75).toNanos();

    static String broker, name;
    static int brokerKills;
    // Records whose acceptance was sent; the answer may have been lost with the broker.
    static final Map<String, Boolean> sent = new ConcurrentHashMap<>();
    static final Map<String, AtomicInteger> accepted = new ConcurrentHashMap<>();
    static final Map<String, AtomicInteger> deliveries = new ConcurrentHashMap<>();
    static final AtomicInteger written = new AtomicInteger(), killed = new AtomicInteger(), heldByKilled = new AtomicInteger();
    static final Map<Integer, ProcessHandle> running = new ConcurrentHashMap<>();
    static final AtomicBoolean done = new AtomicBoolean();
    static final List<String> problems = Collections.synchronizedList(new ArrayList<>());

    public static void main(String[] args) throws Exception {
        if (args[0].equals("member")) {
            broker = args[1];
            name = args[2];
            member(new Random(Long.parseLong(args[3])));
            return;
        }
        broker = args[0];
        int records = Integer.parseInt(args[1]), members = Integer.parseInt(args[2]), kills = Integer.parseInt(args[3]);
        brokerKills = Integer.parseInt(args[4]);
        name = "share-" + System.nanoTime();
        try (Admin admin = Admin.create(Map.of("bootstrap.servers", broker))) {
            admin.createTopics(List.of(new NewTopic(name, PARTITIONS, (short) 1))).all().get();
            ConfigResource group = new ConfigResource(ConfigResource.Type.GROUP, name);
            admin.incrementalAlterConfigs(Map.of(group, List.of(
                    set("share.auto.offset.reset", "earliest"), set("share.delivery.count.limit", "" + LIMIT),
                    set("share.record.lock.duration.ms", "15000")))).all().get();
            List<Thread> threads = new ArrayList<>();
            for (int i = 0; i < members; i++) {
                int number = i;
                threads.add(new Thread(() -> work(number)));
            }
            for (int i = 0; i < KILLED_AT_A_TIME; i++) {
                int number = i;
                threads.add(new Thread(() -> killMembers(number, kills)));
            }
            threads.add(new Thread(() -> write(records, kills)));
            Runtime.getRuntime().addShutdownHook(new Thread(() -> running.values().forEach(ProcessHandle::destroyForcibly)));
            threads.forEach(Thread::start);
            for (int i = 1; i <= brokerKills; i++) {
                int share = i;
                await("kills", () -> killed.get() * (brokerKills + 1) >= kills * share);
                System.out.println("now");
            }
            await("kills", () -> killed.get() >= kills && written.get() >= records);
            running.values().forEach(ProcessHandle::destroyForcibly); // those that are left hold nothing, or do
            await("all records accepted", () -> sent.size() == written.get());
            done.set(true);
            for (Thread t : threads) {
                t.join();
            }
            finish(admin, kills);
        }
    }

    static AlterConfigOp set(String name, String value) {
        return new AlterConfigOp(new ConfigEntry(name, value), AlterConfigOp.OpType.SET);
    }

    interface Condition {
        boolean holds();
    }

    static void await(String what, Condition condition) throws InterruptedException {
        long end = System.nanoTime() + PATIENCE_NANOS;
        while (!condition.holds()) {
            if (System.nanoTime() > end || !problems.isEmpty()) {
                System.out.printf("not in time: %s; %d of %d records accepted, %d processes killed, %s%n", what, sent.size(),
                        written.get(), killed.get(), problems);
                System.exit(1);
            }
            Thread.sleep(20);
        }
    }

    // write writes records as long as processes have to be killed: they need some to hold.
    static void write(int records, int kills) {
        try (KafkaProducer<String, String> producer = new KafkaProducer<>(
                Map.of("bootstrap.servers", broker), new StringSerializer(), new StringSerializer())) {
            while (written.get() < records || killed.get() < kills) {
                for (int i = 0; i < 100; i++) {
                    String key = "" + written.getAndIncrement();
                    producer.send(new ProducerRecord<>(name, key, key), (at, failure) -> {
                        if (failure != null) {
                            problems.add("not written: " + failure);
                        }
                    });
                }
                producer.flush();
                Thread.sleep(50);
            }
        } catch (InterruptedException e) {
            problems.add(e.toString());
        }
    }

    static KafkaShareConsumer<String, String> consumer(boolean recordLimit, int maxRecords) {
        Map<String, Object> config = new HashMap<>(Map.of("bootstrap.servers", broker, "group.id", name,
                "share.acknowledgement.mode", "explicit", "max.poll.records", maxRecords,
                "share.acquire.mode", recordLimit ? "record_limit" : "batch_optimized"));
        KafkaShareConsumer<String, String> c = new KafkaShareConsumer<>(config, new StringDeserializer(), new StringDeserializer());
        c.subscribe(List.of(name));
        return c;
    }

    // One member after the other, each with a client of its own. Some end with records that they have not acknowledged.
    static void work(int number) {
        Random random = new Random(number);
        while (!done.get()) {
            try (KafkaShareConsumer<String, String> consumer = consumer(number % 2 == 1, 50)) {
                for (int polls = 0; polls < 40 && !done.get(); polls++) {
                    ConsumerRecords<String, String> records = consumer.poll(Duration.ofMillis(200));
                    records.forEach(r -> delivered(r.key(), r.deliveryCount().orElse((short) 1)));
                    if (number % 3 == 2 && polls > 5 && !records.isEmpty() && random.nextInt(4) == 0) {
                        break; // it says nothing about them
                    }
                    Map<String, Boolean> taken = acknowledge(consumer, records, random);
                    taken.keySet().forEach(key -> sent.put(key, true));
                    if (commit(consumer)) {
                        taken.keySet().forEach(key -> accepted.computeIfAbsent(key, k -> new AtomicInteger()).incrementAndGet());
                    }
                }
            } catch (KafkaException e) {
                if (!(e instanceof RetriableException)) {
                    problems.add(e.toString());
                }
            }
        }
    }

    static void delivered(String key, int count) {
        if (count > LIMIT) {
            problems.add("record " + key + " is delivered for the " + count + "th time");
        }
        deliveries.computeIfAbsent(key, k -> new AtomicInteger()).incrementAndGet();
    }

    // acknowledge accepts most records, and all that come often, and releases the others. It returns those accepted.
    static Map<String, Boolean> acknowledge(KafkaShareConsumer<String, String> consumer,
            ConsumerRecords<String, String> records, Random random) {
        Map<String, Boolean> taken = new HashMap<>();
        for (ConsumerRecord<String, String> r : records) {
            boolean accept = r.deliveryCount().orElse((short) 1) > 3 || random.nextInt(10) > 0;
            consumer.acknowledge(r, accept ? AcknowledgeType.ACCEPT : AcknowledgeType.RELEASE);
            if (accept) {
                taken.put(r.key(), true);
            }
        }
        return taken;
    }

    static boolean commit(KafkaShareConsumer<String, String> consumer) {
        Map<?, Optional<KafkaException>> failed = consumer.commitSync(Duration.ofSeconds(10));
        return failed.values().stream().allMatch(Optional::isEmpty);
    }

    // killMembers starts members as processes, and kills each when it holds records.
    static void killMembers(int number, int kills) {
        for (int i = 0; killed.get() < kills; i++) {
            try {
                Process p = new ProcessBuilder(Path.of(System.getProperty("java.home"), "bin", "java").toString(), "-Xmx64m",
                        "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Dorg.slf4j.simpleLogger.defaultLogLevel=off", "-cp",
                        System.getProperty("java.class.path"), "ShareGroups", "member", broker, name, "" + (number * 1000 + i))
                        .redirectError(ProcessBuilder.Redirect.DISCARD).start();
                running.put(number, p.toHandle());
                if (killed.get() >= kills) {
                    p.destroyForcibly();
                    return;
                }
                follow(p);
            } catch (IOException | InterruptedException e) {
                problems.add(e.toString());
                return;
            }
        }
    }

    // follow reads what a process prints until its end, which is its death by SIGKILL once it holds records.
    static void follow(Process p) throws IOException, InterruptedException {
        boolean held = false;
        try (BufferedReader lines = new BufferedReader(new InputStreamReader(p.getInputStream()))) {
            for (String line = lines.readLine(); line != null; line = lines.readLine()) {
                String[] words = line.split(" ");
                switch (words[0]) {
                    case "delivered" -> delivered(words[1], Integer.parseInt(words[2]));
                    case "sent" -> sent.put(words[1], true);
                    case "accepted" -> accepted.computeIfAbsent(words[1], k -> new AtomicInteger()).incrementAndGet();
                    case "holding" -> {
                        held = true;
                        heldByKilled.addAndGet(Integer.parseInt(words[1]));
                        p.toHandle().destroyForcibly(); // which leaves its output to be read
                    }
                    default -> problems.add("a member prints " + line);
                }
            }
        }
        p.waitFor();
        if (held) {
            killed.incrementAndGet();
        }
    }

    // member is a process that works for some polls, and then holds what it gets.
    static void member(Random random) throws InterruptedException {
        KafkaShareConsumer<String, String> consumer = consumer(random.nextBoolean(), 20);
        for (int polls = 1 + random.nextInt(3); ;) {
            ConsumerRecords<String, String> records = consumer.poll(Duration.ofMillis(200));
            if (records.isEmpty()) {
                continue;
            }
            records.forEach(r -> System.out.println("delivered " + r.key() + " " + r.deliveryCount().orElse((short) 1)));
            if (polls-- == 0) {
                System.out.println("holding " + records.count());
                Thread.sleep(Long.MAX_VALUE);
            }
            Map<String, Boolean> taken = acknowledge(consumer, records, random);
            taken.keySet().forEach(key -> System.out.println("sent " + key));
            if (commit(consumer)) {
                taken.keySet().forEach(key -> System.out.println("accepted " + key));
            }
        }
    }

    static void finish(Admin admin, int kills) throws Exception {
        await("no lag", () -> {
            try {
                return admin.listShareGroupOffsets(Map.of(name, new ListShareGroupOffsetsSpec())).partitionsToOffsetInfo(name).get()
                        .values().stream().mapToLong(o -> o.lag().orElse(1L)).sum() == 0;
            } catch (Exception e) {
                return false;
            }
        });
        // A broker that is killed forgets the last delivery of what is acquired.
        int most = deliveries.values().stream().mapToInt(AtomicInteger::get).max().orElse(0);
        if (most > LIMIT + brokerKills) {
            problems.add("a record was delivered " + most + " times");
        }
        if (heldByKilled.get() < kills) {
            problems.add("the killed processes held " + heldByKilled + " records");
        }
        long twice = accepted.values().stream().filter(n -> n.get() > 1).count();
        System.out.printf("%d records, %d known to be accepted, %d of them more than once, at most %d deliveries, "
                + "%d processes killed that held %d records, problems %s%n",
                sent.size(), accepted.size(), twice, most, killed.get(), heldByKilled.get(), problems);
        System.exit(problems.isEmpty() && sent.size() == written.get() ? 0 : 1);
    }
}
