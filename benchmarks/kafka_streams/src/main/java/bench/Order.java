package bench;

import com.fasterxml.jackson.annotation.JsonProperty;

/** One order, as it stands on the input topic. Public fields: the quickest shape for Jackson. */
public final class Order {
    @JsonProperty("order_id") public String orderId;
    @JsonProperty("customer_id") public String customerId;
    public double amount;
    public String sku;
    public int quantity;
    public String country;
}
