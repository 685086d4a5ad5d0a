"""The only importer of the Kafka client: consumers, producers, admin, error mapping."""
