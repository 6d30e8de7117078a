public import BlockIO

/// One line of a table: which sectors, which target, and its words.
public struct TableLine: Hashable, Sendable {
    /// The sectors of the mapped device.
    public var range: SectorRange
    /// The type of the target.
    public var type: String
    /// The words behind it.
    public var words: [String]
    /// Its number in the table, from 1.
    public var number: Int

    /// A line.
    public init(range: SectorRange, type: String, words: [String], number: Int = 1) {
        self.range = range
        self.type = type
        self.words = words
        self.number = number
    }
}
