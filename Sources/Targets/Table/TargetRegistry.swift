import SystemPackage

/// The types of targets that there are.
public struct TargetRegistry: Sendable {
    /// The types, in the order in which listings name them.
    public let types: [any TargetType]
    private let byName: [String: any TargetType]

    /// A registry of some types, no two of one name.
    public init(_ types: [any TargetType]) {
        self.types = types
        byName = Dictionary(uniqueKeysWithValues: types.map { ($0.name, $0) })
    }

    /// Understands a line.
    /// - Throws: EINVAL: that there is no such type, and which there are; or what the type says about its words.
    public func parse(_ line: TableLine) throws(TargetError) -> any TargetPlan {
        guard let type = byName[line.type] else {
            let names = types.map(\.name).sorted().joined(separator: ", ")
            throw TableLine.fault(
                line: line.number, word: TableLine.leadingWords, line.type, "parse", .invalidArgument,
                "there is no such target; there are \(names)")
        }
        return try type.parse(line)
    }

    /// Understands a whole table: a plan for each of its lines.
    public func parse(_ table: TargetTable) throws(TargetError) -> [any TargetPlan] {
        var plans: [any TargetPlan] = []
        for line in table.lines { plans.append(try parse(line)) }
        return plans
    }

    /// The types and their versions as `dmsetup targets` prints them, each with a newline at its end.
    public var listing: String {
        types.map { type in
            let padding = String(repeating: " ", count: max(16 - type.name.utf8.count, 0))
            let version = type.version.map(String.init).joined(separator: ".")
            return "\(type.name)\(padding) v\(version)\n"
        }.joined()
    }
}

extension TargetRegistry {
    /// Every type that there is.
    public static let all = TargetRegistry([
        LinearTargetType(), ZeroTargetType(), ErrorTargetType(), SnapshotTargetType(), OriginTargetType(),
        MergeTargetType(),
    ])
}
