import SystemPackage

/// The words of a `snapshot` or `snapshot-merge` line.
struct SnapshotLine: Hashable, Sendable {
    /// Which store, as table lines call it.
    enum Store: String, Hashable, Sendable {
        /// Persistent: what overflows becomes invalid.
        case persistent = "P"
        /// Persistent, and its user understands the state Overflow.
        case persistentOverflow = "PO"
        /// Not persistent: lasts as long as the target.
        case transient = "N"

        var isPersistent: Bool { self != .transient }
    }

    /// The device that is snapshotted.
    let origin: String
    /// The device that holds the chunks.
    let cow: String
    /// Which store.
    let store: Store
    /// Chunk size in sectors; 0 for what the store says.
    let chunkSectors: UInt64
    /// What discards do.
    let features: Features

    /// The words behind the chunk size.
    struct Features: Hashable, Sendable {
        /// `discard_zeroes_cow`: what the store holds of discarded sectors is given up.
        var discardZeroesCOW = false
        /// `discard_passdown_origin`: the origin is discarded as well.
        var discardPassdownOrigin = false

        /// As a table line ends: a blank first, and nothing at all without any.
        var text: String {
            let words =
                (discardZeroesCOW ? ["discard_zeroes_cow"] : [])
                + (discardPassdownOrigin ? ["discard_passdown_origin"] : [])
            return words.isEmpty ? "" : " \(words.count) " + words.joined(separator: " ")
        }
    }

    /// Reads the words, by the rules of the kernel's dm-snapshot.
    /// - Throws: EINVAL; which word is wrong and why.
    init(_ line: TableLine, merges: Bool) throws(TargetError) {
        var words = TableWords(line)
        origin = try words.next("the origin")
        cow = try words.next("the device of the store")
        guard cow != origin else { throw words.wrong("a device cannot hold its own snapshot") }
        store = try Self.store(&words)
        if merges, !store.isPersistent {
            throw words.wrong("a store of kind N cannot be merged: it lasts no longer than its target")
        }
        chunkSectors = try Self.chunk(&words, mayBeOpen: store.isPersistent)
        features = try Self.features(&words)
    }

    private static func store(_ words: inout TableWords) throws(TargetError) -> Store {
        let word = try words.next("the kind of store")
        // The kernel looks at the first letter, and at the second one behind a P.
        let letters = word.uppercased()
        switch letters.first {
        case "N": return .transient
        case "P" where letters.utf8.count == 1: return .persistent
        case "P" where letters.hasPrefix("PO"): return .persistentOverflow
        case "P": throw words.wrong("behind the P of a persistent store only an O (overflow) can follow")
        default: throw words.wrong("this is no kind of store: P, PO and N are")
        }
    }

    private static func chunk(_ words: inout TableWords, mayBeOpen: Bool) throws(TargetError) -> UInt64 {
        let size = try words.number("the chunk size in sectors")
        if size == 0 {
            guard mayBeOpen else { throw words.wrong("a store of kind N needs a chunk size") }
            return 0
        }
        do throws(ChunkSizeFault) {
            return try StoreGeometry(checking: size, storeBlock: 1, originBlock: nil).chunkSectors
        } catch { throw words.wrong(error.description) }
    }

    /// Words behind the features are ignored, as in the kernel.
    private static func features(_ words: inout TableWords) throws(TargetError) -> Features {
        var features = Features()
        guard words.remaining > 0 else { return features }
        let count = try words.number("the number of features", in: 0...2)
        for index in 0..<count {
            switch try words.next("feature \(index + 1) of \(count)").lowercased() {
            case "discard_zeroes_cow": features.discardZeroesCOW = true
            case "discard_passdown_origin": features.discardPassdownOrigin = true
            default: throw words.wrong("a snapshot has the features discard_zeroes_cow and discard_passdown_origin")
            }
        }
        if features.discardPassdownOrigin, !features.discardZeroesCOW {
            throw words.wrong("discard_passdown_origin needs discard_zeroes_cow beside it")
        }
        return features
    }
}
