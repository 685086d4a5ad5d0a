package lab;

import java.io.IOException;
import java.time.Duration;
import java.util.Properties;
import java.util.concurrent.CountDownLatch;
import org.apache.kafka.clients.CommonClientConfigs;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.streams.CloseOptions;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse;

/** A worker of the engine `kafka-streams`: its only argument is its orders, as JSON. */
public final class Main {
    private static final Duration CLOSE = Duration.ofSeconds(30);

    private Main() {}

    public static void main(String[] arguments) throws IOException, InterruptedException {
        Orders orders = Json.read(arguments[0], Orders.class);
        Sequence sequence = new Sequence(orders);
        KafkaStreams streams = new KafkaStreams(sequence.topology(), properties(orders));
        CountDownLatch failed = new CountDownLatch(1);
        streams.setUncaughtExceptionHandler(error -> {
            error.printStackTrace();
            return StreamThreadExceptionResponse.REPLACE_THREAD;
        });
        streams.setStateListener((now, before) -> {
            if (now == KafkaStreams.State.ERROR) {
                failed.countDown();
            }
        });
        Runtime.getRuntime().addShutdownHook(new Thread(() -> end(streams, failed.getCount() > 0)));
        if (orders.status() != null) {
            new StatusPipe(orders.status(), streams, sequence).start();
        }
        streams.start();
        failed.await();
        System.exit(1);
    }

    /**
     * A worker that is told to stop leaves the group, so that others take its shards at once: a static member
     * that only goes would keep them until its session ends. One that failed comes back, and keeps them.
     */
    private static void end(KafkaStreams streams, boolean inGoodOrder) {
        CloseOptions.GroupMembershipOperation operation = inGoodOrder
            ? CloseOptions.GroupMembershipOperation.LEAVE_GROUP
            : CloseOptions.GroupMembershipOperation.REMAIN_IN_GROUP;
        boolean closed = streams.close(CloseOptions.groupMembershipOperation(operation).withTimeout(CLOSE));
        Runtime.getRuntime().halt(inGoodOrder && closed ? 0 : 1);
    }

    /** What a careful user sets; all else is as Kafka Streams has it. docs/guide/chaos-experiments.md tells. */
    private static Properties properties(Orders orders) {
        Properties properties = new Properties();
        properties.put(StreamsConfig.APPLICATION_ID_CONFIG, orders.application());
        properties.put(StreamsConfig.CLIENT_ID_CONFIG, orders.worker());
        properties.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, orders.servers());
        properties.put(StreamsConfig.STATE_DIR_CONFIG, orders.stateFolder());
        properties.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.EXACTLY_ONCE_V2);
        properties.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, 1);
        properties.put(StreamsConfig.NUM_STANDBY_REPLICAS_CONFIG, orders.standby());
        properties.put(StreamsConfig.REPLICATION_FACTOR_CONFIG, orders.replication());
        properties.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, orders.commitIntervalMs());
        properties.put(StreamsConfig.consumerPrefix(CommonClientConfigs.GROUP_INSTANCE_ID_CONFIG), orders.instance());
        properties.put(
            StreamsConfig.consumerPrefix(ConsumerConfig.SESSION_TIMEOUT_MS_CONFIG), orders.sessionTimeoutMs());
        properties.put(
            StreamsConfig.consumerPrefix(ConsumerConfig.HEARTBEAT_INTERVAL_MS_CONFIG), orders.sessionTimeoutMs() / 4);
        return properties;
    }
}
