"""Workers on real brokers: ownership, restore, transactions, supervision."""
