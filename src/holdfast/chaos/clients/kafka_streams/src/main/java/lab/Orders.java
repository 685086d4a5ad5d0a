package lab;

/** What a worker is told when it starts: `StreamsOrders` in holdfast.chaos.clients.streams. */
record Orders(
    String servers,
    String worker,
    String application,
    String instance,
    String input,
    String inputType,
    String output,
    String outputType,
    int replication,
    int standby,
    int commitIntervalMs,
    int sessionTimeoutMs,
    String stateFolder,
    Integer status) {
}
