"""Another Kafka cluster as a sink: what handlers return for it."""

from holdfast.sinks.kafka.writes import KafkaRecord

__all__ = ["KafkaRecord"]
