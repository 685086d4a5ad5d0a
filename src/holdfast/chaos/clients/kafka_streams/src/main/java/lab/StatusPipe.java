package lab;

import java.io.FileOutputStream;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.Locale;
import org.apache.kafka.streams.KafkaStreams;

/**
 * Tells the supervisor how the worker is, in the lines of holdfast.runtime.status, and ends the process when
 * nobody reads them any more.
 */
final class StatusPipe extends Thread {
    private static final long INTERVAL_MS = 250;
    private static final long GRACE_MS = 5_000;

    private final KafkaStreams streams;
    private final Sequence sequence;
    private final int descriptor;

    StatusPipe(int descriptor, KafkaStreams streams, Sequence sequence) {
        super("status");
        setDaemon(true);
        this.descriptor = descriptor;
        this.streams = streams;
        this.sequence = sequence;
    }

    @Override
    public void run() {
        // Java cannot take over an open descriptor by its number; Linux has a file for each.
        try (FileOutputStream pipe = new FileOutputStream("/proc/self/fd/" + descriptor)) {
            while (true) {
                pipe.write(status().getBytes(StandardCharsets.UTF_8));
                Thread.sleep(INTERVAL_MS);
            }
        } catch (IOException | InterruptedException gone) {
            System.err.println("the supervisor is gone; this worker stops");
            new Thread(() -> System.exit(1)).start();
            sleep();
            Runtime.getRuntime().halt(1);
        }
    }

    private String status() {
        int running = running();
        String shards = running == 0 ? "{}" : "{\"running\": " + running + "}";
        return String.format(
            Locale.ROOT, "{\"type\": \"status\", \"records\": %d, \"shards\": %s}%n", sequence.handled(), shards);
    }

    /** A client that restores any of its tasks is not RUNNING, and its threads know the tasks that are. */
    private int running() {
        if (streams.state() != KafkaStreams.State.RUNNING) {
            return 0;
        }
        return streams.metadataForLocalThreads().stream().mapToInt(thread -> thread.activeTasks().size()).sum();
    }

    private static void sleep() {
        try {
            Thread.sleep(GRACE_MS);
        } catch (InterruptedException ended) {
            Thread.currentThread().interrupt();
        }
    }
}
