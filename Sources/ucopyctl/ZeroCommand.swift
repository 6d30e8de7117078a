import ArgumentParser

/// `ucopyctl zero`.
struct ZeroCommand: ParsableCommand {
    static let configuration = CommandConfiguration.verb(
        "zero", abstract: "Write zeroes to 1 to 8 regions of the same length.",
        discussion: "A region is PATH[@SECTOR[+COUNT]], in sectors of 512 bytes.")

    @OptionGroup var options: TransferOptions

    @Argument(help: ArgumentHelp("The regions to zero.", valueName: "dst"), completion: .file())
    var destinations: [String]

    mutating func validate() throws {
        try requireDestinations(destinations.count)
    }

    mutating func run() throws {
        try Transfer(verb: "zero", options: options, flags: []).run(source: nil, destinations: destinations)
    }
}
