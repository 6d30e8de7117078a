/// Values under the small numbers that the scheduler gives out.
struct Table<Value> {
    private var values: [Value?] = []
    /// How many there are.
    private(set) var count = 0

    /// The value under a number; nil takes it away.
    subscript(index: Int) -> Value? {
        get { index < values.count ? values[index] : nil }
        // In place: a value that holds an array may be appended to without a copy of that.
        _modify {
            while values.count <= index { values.append(nil) }
            let before = values[index] == nil ? 0 : 1
            defer { count += (values[index] == nil ? 0 : 1) - before }
            yield &values[index]
        }
    }

    /// All values, by number.
    var all: some Sequence<Value> { values.lazy.compactMap { $0 } }
}
