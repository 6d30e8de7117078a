import Testing

/// One test after the other: some start programs, which for a moment hold open (and locked) whatever the others have.
@Suite(.serialized) struct DaemonTests {}
