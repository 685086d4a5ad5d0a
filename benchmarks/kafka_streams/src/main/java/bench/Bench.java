package bench;

import java.time.Duration;
import java.time.Instant;
import java.util.Properties;
import java.util.concurrent.CountDownLatch;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.utils.AppInfoParser;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.KStream;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.Produced;
import org.apache.kafka.streams.state.KeyValueStore;

/** Kafka Streams, one thread, on both jobs; keeps the contract of benchmarks/runners/common.py. */
public final class Bench {
    private static boolean seen; // only the one stream thread reads and writes it

    private Bench() {}

    public static void main(String[] arguments) throws InterruptedException {
        Settings settings = Settings.parse(arguments);
        System.out.printf("BENCH hello {\"kafka-streams\": \"%s\", \"java\": \"%s %s\"}%n",
            AppInfoParser.getVersion(), System.getProperty("java.vendor"), Runtime.version());
        KafkaStreams streams = new KafkaStreams(topology(settings), properties(settings));
        CountDownLatch stopped = new CountDownLatch(1);
        streams.setUncaughtExceptionHandler(error -> {
            error.printStackTrace();
            return StreamThreadExceptionResponse.SHUTDOWN_CLIENT;
        });
        streams.setStateListener((now, before) -> {
            if (now == KafkaStreams.State.ERROR) {
                stopped.countDown();
            }
        });
        Runtime.getRuntime().addShutdownHook(new Thread(() -> streams.close(Duration.ofSeconds(20))));
        streams.start();
        stopped.await();
        System.exit(1);
    }

    private static Topology topology(Settings settings) {
        StreamsBuilder builder = new StreamsBuilder();
        KStream<String, Order> orders = builder.stream(
            settings.get("input"), Consumed.with(Serdes.String(), Json.serde(Order.class)));
        if (settings.get("job").equals("totals")) {
            orders.groupByKey().aggregate(
                () -> Total.ZERO,
                (customer, order, total) -> {
                    reportFirst();
                    return total.plus(order);
                },
                Materialized.<String, Total, KeyValueStore<
                    Bytes, byte[]>>as("totals")
                    .withKeySerde(Serdes.String()).withValueSerde(Total.serde()));
        } else {
            orders.mapValues(order -> {
                reportFirst();
                return EnrichedOrder.of(order);
            }).to(settings.get("output"), Produced.with(Serdes.String(), Json.serde(EnrichedOrder.class)));
        }
        return builder.build();
    }

    private static void reportFirst() {
        if (!seen) {
            seen = true;
            Instant now = Instant.now();
            System.out.println("BENCH first " + (now.getEpochSecond() * 1_000_000_000L + now.getNano()));
        }
    }

    private static Properties properties(Settings settings) {
        Properties properties = new Properties();
        properties.put(StreamsConfig.APPLICATION_ID_CONFIG, settings.get("app-id"));
        properties.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, settings.get("bootstrap-servers"));
        properties.put(StreamsConfig.STATE_DIR_CONFIG, settings.get("state-dir"));
        properties.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, settings.get("commit-interval-ms"));
        properties.put(StreamsConfig.REPLICATION_FACTOR_CONFIG, settings.get("replication"));
        properties.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, 1);
        properties.put(StreamsConfig.NUM_STANDBY_REPLICAS_CONFIG, 0);
        properties.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG,
            settings.exactlyOnce() ? StreamsConfig.EXACTLY_ONCE_V2 : StreamsConfig.AT_LEAST_ONCE);
        properties.put(ConsumerConfig.AUTO_OFFSET_RESET_CONFIG, "earliest");
        if (settings.tuned()) {
            tune(properties);
        }
        return properties;
    }

    /** Bigger caches, fetches and batches; docs/benchmarks.md gives the reason for each. */
    private static void tune(Properties properties) {
        properties.put(StreamsConfig.STATESTORE_CACHE_MAX_BYTES_CONFIG, 128L * 1024 * 1024);
        properties.put(StreamsConfig.BUFFERED_RECORDS_PER_PARTITION_CONFIG, 10_000);
        properties.put(StreamsConfig.consumerPrefix(ConsumerConfig.MAX_POLL_RECORDS_CONFIG), 5_000);
        properties.put(StreamsConfig.consumerPrefix(ConsumerConfig.MAX_PARTITION_FETCH_BYTES_CONFIG), 4 << 20);
        properties.put(StreamsConfig.producerPrefix(ProducerConfig.BATCH_SIZE_CONFIG), 256 << 10);
        properties.put(StreamsConfig.producerPrefix(ProducerConfig.BUFFER_MEMORY_CONFIG), 64L << 20);
    }
}
