package compat;

import org.springframework.boot.autoconfigure.SpringBootApplication;
import org.springframework.kafka.annotation.KafkaListener;
import org.springframework.messaging.handler.annotation.SendTo;

/** Copies payments to receipts, the offsets in the same transaction. */
@SpringBootApplication
public class Copier {
    @KafkaListener(topics = "payments")
    @SendTo("receipts")
    String copy(String payment) {
        return payment.toUpperCase();
    }
}
