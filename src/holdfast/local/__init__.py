"""The embedded cluster: real Apache Kafka as local processes."""
