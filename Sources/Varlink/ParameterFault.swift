import FoundationEssentials

// Naming the parameter that a decoding failed on. DecodingError says where, except for a number that its type cannot hold (1.5 or 10^20
// as an Int): FoundationEssentials reports that as corrupted data without a path. The number is then found by halving: with the first k
// numbers replaced by 0 the failure is gone exactly when the last such number is among them.

/// The parameter at fault in a failed decoding.
enum ParameterFault {
    /// The parameter's name, as `outer.list[3].inner`.
    static func name<T: Decodable>(_ error: DecodingError, decoding type: T.Type, from parameters: Data) -> String {
        if isPathless(error) { return unfitNumber(type, Array(parameters)) ?? "parameters" }
        let path: [any CodingKey] =
            switch error {
            case .keyNotFound(let key, let context): context.codingPath + [key]
            case .typeMismatch(_, let context), .valueNotFound(_, let context), .dataCorrupted(let context):
                context.codingPath
            @unknown default: []
            }
        return name(path.map { key in key.intValue.map(JSONScanner.Step.element) ?? .member(key.stringValue) })
    }

    private static func name(_ path: [JSONScanner.Step]) -> String {
        guard !path.isEmpty else { return "parameters" }
        return path.reduce(into: "") { name, step in
            switch step {
            case .element(let index): name += "[\(index)]"
            case .member(let member): name += name.isEmpty ? member : ".\(member)"
            }
        }
    }

    private static func isPathless(_ error: DecodingError) -> Bool {
        guard case .dataCorrupted(let context) = error else { return false }
        return context.codingPath.isEmpty
    }

    private static func unfitNumber<T: Decodable>(_ type: T.Type, _ bytes: [UInt8]) -> String? {
        guard let numbers = JSONScanner.numbers(of: bytes) else { return nil }
        func isGone(replacing count: Int) -> Bool {
            var bytes = bytes
            for number in numbers.prefix(count) {
                for position in number { bytes[position] = UInt8(ascii: " ") }
                bytes[number.lowerBound] = UInt8(ascii: "0")
            }
            do {
                _ = try JSONDecoder().decode(type, from: Data(bytes))
                return true
            } catch {
                return (error as? DecodingError).map { !isPathless($0) } ?? true
            }
        }
        guard isGone(replacing: numbers.count) else { return nil }
        var low = 0
        var high = numbers.count
        while low < high {
            let middle = (low + high) / 2
            if isGone(replacing: middle) { high = middle } else { low = middle + 1 }
        }
        guard low > 0 else { return nil }
        return name(JSONScanner.path(in: bytes, to: numbers[low - 1].lowerBound))
    }
}
