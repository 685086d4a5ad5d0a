package bench;

import com.fasterxml.jackson.annotation.JsonProperty;
import java.util.Set;

/** One order with its gross amount and region. */
public final class EnrichedOrder {
    private static final Set<String> EU = Set.of("AT", "DE", "ES", "FR", "SE");
    private static final double TAX = 1.19;

    @JsonProperty("order_id") public String orderId;
    @JsonProperty("customer_id") public String customerId;
    public double amount;
    public String sku;
    public int quantity;
    public String country;
    public double gross;
    public String region;

    static EnrichedOrder of(Order order) {
        EnrichedOrder enriched = new EnrichedOrder();
        enriched.orderId = order.orderId;
        enriched.customerId = order.customerId;
        enriched.amount = order.amount;
        enriched.sku = order.sku;
        enriched.quantity = order.quantity;
        enriched.country = order.country;
        enriched.gross = Math.round(order.amount * order.quantity * TAX * 100) / 100.0;
        enriched.region = EU.contains(order.country) ? "EU" : "other";
        return enriched;
    }
}
