package compat;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.List;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.springframework.beans.factory.annotation.Autowired;
import org.springframework.boot.test.context.SpringBootTest;
import org.springframework.boot.test.context.TestConfiguration;
import org.springframework.boot.testcontainers.service.connection.ServiceConnection;
import org.springframework.context.annotation.Bean;
import org.springframework.kafka.annotation.KafkaListener;
import org.springframework.kafka.core.KafkaTemplate;
import org.testcontainers.kafka.KafkaContainer;
import org.testcontainers.utility.DockerImageName;

@SpringBootTest
class CopierTest {
    @Autowired
    KafkaTemplate<String, String> template;

    @Autowired
    Reader reader;

    @Test
    void committedPaymentsAreCopiedOnce() throws Exception {
        try {
            template.executeInTransaction(payments -> {
                payments.send("payments", "never").join();
                throw new IllegalStateException("it is aborted");
            });
        } catch (IllegalStateException expected) {
        }
        template.executeInTransaction(payments -> {
            payments.send("payments", "one");
            return payments.send("payments", "two");
        });
        assertEquals("ONE", reader.receipts.poll(30, TimeUnit.SECONDS));
        assertEquals("TWO", reader.receipts.poll(30, TimeUnit.SECONDS));
        assertEquals(List.of(), List.copyOf(reader.receipts));
    }

    static class Reader {
        final BlockingQueue<String> receipts = new LinkedBlockingQueue<>();

        @KafkaListener(topics = "receipts", groupId = "reader")
        void read(String receipt) {
            receipts.add(receipt);
        }
    }

    @TestConfiguration
    static class Broker {
        @Bean
        @ServiceConnection
        KafkaContainer kafka() {
            return new KafkaContainer(DockerImageName.parse(System.getenv("ONCE_IMAGE")).asCompatibleSubstituteFor("apache/kafka"));
        }

        @Bean
        Reader reader() {
            return new Reader();
        }
    }
}
