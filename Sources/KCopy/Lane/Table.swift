/// Values under the small numbers that the scheduler gives out.
struct Table<Value> {
    private var values: [Value?] = []
    /// How many there are.
    private(set) var count = 0

    /// The value under a number; nil takes it away.
    subscript(index: Int) -> Value? {
        get { index < values.count ? values[index] : nil }
        set {
            while values.count <= index { values.append(nil) }
            count += (newValue == nil ? 0 : 1) - (values[index] == nil ? 0 : 1)
            values[index] = newValue
        }
    }

    /// All values, by number.
    var all: some Sequence<Value> { values.lazy.compactMap { $0 } }
}
