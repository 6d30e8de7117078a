/// The command that does the rest of a job: the program's own arguments with other regions.
enum ResumeCommand {
    /// Options that are followed by a value, which is no region whatever it looks like.
    private static let valued: Set<String> = [
        "--pages", "--rate", "--engine", "--priority", "--socket", "--progress",
    ]
    /// Names a descriptor of this run: the shell that the command is typed into does not have it.
    private static let descriptor = "--progress"

    /// The arguments without their regions.
    /// - Parameters:
    ///   - arguments: the command line, without the program's name.
    ///   - regions: its regions as they were given, in their order.
    static func options(of arguments: [String], without regions: [String]) -> [String] {
        var words = arguments[...]
        var kept: [(word: String, mayBeRegion: Bool)] = []
        var hasOptions = true
        while let word = words.popFirst() {
            if hasOptions, word == descriptor {
                words = words.dropFirst()
            } else if hasOptions, valued.contains(word) {
                kept.append((word, false))
                if let value = words.popFirst() { kept.append((value, false)) }
            } else if !hasOptions || !word.hasPrefix(descriptor + "=") {
                kept.append((word, true))
                hasOptions = hasOptions && word != "--"
            }
        }
        // From the end: a region may be named as the verb is.
        var end = kept.endIndex
        for region in regions.reversed() {
            guard let index = kept[..<end].lastIndex(where: { $0.mayBeRegion && $0.word == region }) else { continue }
            kept.remove(at: index)
            end = index
        }
        return kept.map(\.word)
    }
}
