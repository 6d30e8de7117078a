/// Values under small numbers that are used again: what the scheduler's indices count.
struct Slots<Value> {
    private var values: [Value] = []
    private var live: [Bool] = []
    private var free: [Int] = []

    /// Keeps a value and returns its number.
    mutating func insert(_ value: Value) -> Int {
        if let index = free.popLast() {
            values[index] = value
            live[index] = true
            return index
        }
        values.append(value)
        live.append(true)
        return values.count - 1
    }

    /// Takes a value out.
    mutating func remove(_ index: Int) -> Value {
        precondition(live[index], "nothing under number \(index)")
        live[index] = false
        free.append(index)
        return values[index]
    }

    subscript(index: Int) -> Value {
        _read {
            precondition(live[index], "nothing under number \(index)")
            yield values[index]
        }
        _modify {
            precondition(live[index], "nothing under number \(index)")
            yield &values[index]
        }
    }
}
