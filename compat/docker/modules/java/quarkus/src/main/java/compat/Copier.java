package compat;

import io.smallrye.mutiny.Uni;
import io.smallrye.reactive.messaging.kafka.transactions.KafkaTransactions;
import jakarta.enterprise.context.ApplicationScoped;
import jakarta.inject.Inject;
import java.util.List;
import org.eclipse.microprofile.reactive.messaging.Channel;
import org.eclipse.microprofile.reactive.messaging.Incoming;
import org.eclipse.microprofile.reactive.messaging.Message;

/** Copies payments to receipts, the offsets in the same transaction. */
@ApplicationScoped
public class Copier {
    @Inject
    @Channel("receipts")
    KafkaTransactions<String> receipts;

    @Incoming("payments")
    Uni<Void> copy(Message<List<String>> payments) {
        return receipts.withTransactionAndAck(payments, emitter -> {
            payments.getPayload().forEach(payment -> emitter.send(payment.toUpperCase()));
            return Uni.createFrom().voidItem();
        });
    }
}
