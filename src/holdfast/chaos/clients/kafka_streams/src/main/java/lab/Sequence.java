package lab;

import java.nio.charset.StandardCharsets;
import java.util.concurrent.atomic.AtomicLong;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.Headers;
import org.apache.kafka.common.header.internals.RecordHeaders;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Produced;
import org.apache.kafka.streams.processor.api.ContextualFixedKeyProcessor;
import org.apache.kafka.streams.processor.api.FixedKeyProcessorContext;
import org.apache.kafka.streams.processor.api.FixedKeyRecord;
import org.apache.kafka.streams.processor.api.RecordMetadata;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.Stores;

/** The workload `sequence`, as holdfast.chaos.workloads.sequence_app says it for the other engines. */
final class Sequence {
    private static final String STORE = "walked";
    private static final String TYPE = "ce_type";

    /** An input. */
    record Step(String key, long n) {}

    /** State of a key. */
    record Walked(long last, long count, long total) {
        static final Walked INITIAL = new Walked(0, 0, 0);

        Walked after(Step step) {
            return new Walked(step.n, count + 1, total + step.n);
        }
    }

    /** An output: the state of a key after one input, and which input that was. */
    record Stepped(String key, String topic, int partition, long offset, long last, long count, long total) {}

    private final Orders orders;
    private final AtomicLong handled = new AtomicLong();

    Sequence(Orders orders) {
        this.orders = orders;
    }

    /** How many records were handled since the start. */
    long handled() {
        return handled.get();
    }

    /**
     * A table on RocksDB with its changelog, and a cache, as the DSL gives one to an aggregation. The DSL's own
     * aggregation does not tell the input's offset, so this is a processor. What it sends keeps key, event time
     * and partition of the input.
     */
    Topology topology() {
        StreamsBuilder builder = new StreamsBuilder();
        builder.addStateStore(Stores.keyValueStoreBuilder(
            Stores.persistentKeyValueStore(STORE), Serdes.String(), Json.serde(Walked.class)
        ).withCachingEnabled());
        builder.stream(orders.input(), Consumed.with(Serdes.String(), Json.serde(Step.class)))
            .processValues(Walk::new, STORE)
            .to(orders.output(), Produced.with(Serdes.String(), Json.serde(Stepped.class)));
        return builder.build();
    }

    private final class Walk extends ContextualFixedKeyProcessor<String, Step, Stepped> {
        private KeyValueStore<String, Walked> states;

        @Override
        public void init(FixedKeyProcessorContext<String, Stepped> context) {
            super.init(context);
            states = context.getStateStore(STORE);
        }

        @Override
        public void process(FixedKeyRecord<String, Step> input) {
            requireType(input.headers());
            RecordMetadata at = context().recordMetadata().orElseThrow();
            Walked before = states.get(input.key());
            Walked now = (before == null ? Walked.INITIAL : before).after(input.value());
            states.put(input.key(), now);
            Stepped made = new Stepped(
                input.key(), at.topic(), at.partition(), at.offset(), now.last(), now.count(), now.total());
            context().forward(input.withValue(made).withHeaders(type(orders.outputType())));
            handled.incrementAndGet();
        }
    }

    /** As Holdfast does: what is declared to be something else must not be read as a step. */
    private void requireType(Headers headers) {
        Header found = headers.lastHeader(TYPE);
        String type = found == null ? orders.inputType() : new String(found.value(), StandardCharsets.UTF_8);
        if (!type.equals(orders.inputType())) {
            throw new IllegalArgumentException("a record of type " + type + " on " + orders.input());
        }
    }

    private static Headers type(String type) {
        return new RecordHeaders().add(TYPE, type.getBytes(StandardCharsets.UTF_8));
    }
}
