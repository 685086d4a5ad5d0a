"""The lab's own Kafka clients: what offers the load, and what watches the output."""
