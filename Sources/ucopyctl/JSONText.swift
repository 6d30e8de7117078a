import FoundationEssentials

/// JSON on one line, with its keys in a fixed order.
enum JSONText {
    static func encode(_ value: some Encodable) throws(Failure) -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        do {
            return String(decoding: try encoder.encode(value), as: UTF8.self)
        } catch {
            // Numbers that JSON has no form for (infinity), which no reply holds.
            throw Failure("result", "encode as JSON", "\(error)")
        }
    }

    /// Whether a text is a JSON object.
    static func isObject(_ text: String) -> Bool {
        (try? JSONDecoder().decode(AnyObject.self, from: Data(text.utf8))) != nil
    }

    private struct AnyObject: Decodable {
        private enum Keys: CodingKey {}
        init(from decoder: any Decoder) throws {
            _ = try decoder.container(keyedBy: Keys.self)
        }
    }
}
