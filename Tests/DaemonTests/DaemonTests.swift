import Testing

/// One test after the other: hundreds of connections at once are enough.
@Suite(.serialized) struct DaemonTests {}
