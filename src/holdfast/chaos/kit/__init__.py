"""For tests of one's own: brokers that may be broken, an application on them, faults, a history."""
