import ArgumentParser
import KCopy

/// `ucopyctl copy`.
struct CopyCommand: ParsableCommand {
    static let configuration = CommandConfiguration.verb(
        "copy", abstract: "Copy a region to 1 to 8 others.",
        discussion: "A region is PATH[@SECTOR[+COUNT]], in sectors of 512 bytes.")

    @Flag(help: "Do not read holes and do not write zeroes; the destinations zero them.")
    var sparse = false

    @Flag(help: "Read every destination back and compare.")
    var verify = false

    @OptionGroup var options: TransferOptions

    @Argument(help: ArgumentHelp("The region to copy.", valueName: "src"), completion: .file())
    var source: String

    @Argument(help: ArgumentHelp("The regions to copy it to.", valueName: "dst"), completion: .file())
    var destinations: [String]

    mutating func validate() throws {
        try requireDestinations(destinations.count)
    }

    mutating func run() throws {
        var flags: CopyFlags = []
        if sparse { flags.formUnion([.skipHoles, .detectZeroes]) }
        if verify { flags.insert(.verify) }
        try Transfer(verb: "copy", options: options, flags: flags).run(source: source, destinations: destinations)
    }
}
