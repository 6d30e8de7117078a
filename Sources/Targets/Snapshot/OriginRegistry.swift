/// The origins of one queue thread, each with its snapshots.
final class OriginRegistry {
}
