import java.util.List;
import java.util.Map;
import org.apache.kafka.common.metrics.KafkaMetric;
import org.apache.kafka.common.metrics.MetricsReporter;
import org.apache.kafka.server.telemetry.ClientTelemetryExporter;
import org.apache.kafka.server.telemetry.ClientTelemetryExporterProvider;
import org.apache.kafka.shaded.io.opentelemetry.proto.metrics.v1.MetricsData;

/**
 * A metrics reporter with which a Kafka takes the metrics of clients. It reads them, so that what cannot be read is
 * refused, and prints them. To hold the conversation of telemetry.txt with Kafka 4.4.0, whose jars are in LIBS:
 *
 *   javac -cp 'LIBS/*' -d DIR TakeMetrics.java
 *
 * and start it with DIR in the class path and metric.reporters=TakeMetrics in server.properties.
 */
public class TakeMetrics implements MetricsReporter, ClientTelemetryExporterProvider {
    @Override
    public ClientTelemetryExporter clientTelemetryExporter() {
        return (context, payload) -> {
            try {
                System.err.println(payload.clientInstanceId() + " " + MetricsData.parseFrom(payload.data()));
            } catch (Exception e) {
                throw new IllegalArgumentException(e);
            }
        };
    }

    @Override
    public void init(List<KafkaMetric> metrics) {
    }

    @Override
    public void metricChange(KafkaMetric metric) {
    }

    @Override
    public void metricRemoval(KafkaMetric metric) {
    }

    @Override
    public void close() {
    }

    @Override
    public void configure(Map<String, ?> configs) {
    }
}
