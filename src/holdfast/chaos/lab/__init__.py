"""Where experiments happen: brokers, workers, disks and clocks that may be broken."""
