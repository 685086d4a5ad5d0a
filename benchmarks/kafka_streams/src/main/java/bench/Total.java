package bench;

import java.nio.ByteBuffer;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;

/** Sum and count of one customer's orders; 16 bytes in the store and the changelog. */
record Total(double amount, long count) {
    static final Total ZERO = new Total(0, 0);

    Total plus(Order order) {
        return new Total(amount + order.amount, count + 1);
    }

    static Serde<Total> serde() {
        return Serdes.serdeFrom(
            (topic, total) -> total == null
                ? null
                : ByteBuffer.allocate(16).putDouble(total.amount).putLong(total.count).array(),
            (topic, bytes) -> {
                if (bytes == null) {
                    return null;
                }
                ByteBuffer buffer = ByteBuffer.wrap(bytes);
                return new Total(buffer.getDouble(), buffer.getLong());
            });
    }
}
