// The options that have data: it is checked to its last byte before anything is answered.

extension NBDHandshake {
    /// `list`: the names of all exports, which is one.
    mutating func list(_ data: UnsafeRawBufferPointer) {
        guard data.isEmpty else { return refuse(NBDOption.list.rawValue, .invalid) }
        var server: [UInt8] = []
        server.append(bigEndian: UInt32(export.name.utf8.count))
        server.append(contentsOf: export.name.utf8)
        reply(.list, .server, server)
        reply(.list, .ack)
    }

    // MARK: Information

    /// `info` and `go`: what the export is; `go` begins transmission.
    mutating func inform(_ option: NBDOption, _ data: UnsafeRawBufferPointer) {
        guard let (name, wanted) = Self.readInformation(data) else { return refuse(option.rawValue, .invalid) }
        guard export.answers(to: name) else { return refuse(option.rawValue, .unknown, "no such export") }
        var export: [UInt8] = []
        export.append(bigEndian: self.export.bytes)
        export.append(bigEndian: flags.rawValue)
        information(option, .export, export)
        if wanted.contains(.name) { information(option, .name, Array(self.export.name.utf8)) }
        if wanted.contains(.blockSize) {
            var sizes: [UInt8] = []
            sizes.append(bigEndian: self.export.minimumBlock)
            sizes.append(bigEndian: self.export.preferredBlock)
            sizes.append(bigEndian: UInt32(NBDSize.payload))
            information(option, .blockSize, sizes)
        }
        reply(option, .ack)
        if option == .go { begin() }
    }

    /// The name of an export and what is asked of it; what is not known is left out. Nil where the lengths do not add up.
    private static func readInformation(
        _ data: UnsafeRawBufferPointer
    ) -> (name: UnsafeRawBufferPointer, wanted: Set<NBDInfo>)? {
        var reader = NBDMessageReader(data)
        guard let name = reader.string(), let count = reader.number(as: UInt16.self) else { return nil }
        var wanted: Set<NBDInfo> = []
        for _ in 0..<count {
            guard let number = reader.number(as: UInt16.self) else { return nil }
            if let info = NBDInfo(rawValue: number) { wanted.insert(info) }
        }
        return reader.isAtEnd ? (name, wanted) : nil
    }

    private mutating func information(_ option: NBDOption, _ type: NBDInfo, _ payload: [UInt8]) {
        var data: [UInt8] = []
        data.append(bigEndian: type.rawValue)
        data.append(contentsOf: payload)
        reply(option, .info, data)
    }

    // MARK: Contexts

    /// `listMetaContext` and `setMetaContext`. A client has to have structured replies to select one, and every selection
    /// takes the place of the former, also one that fails.
    mutating func negotiateContexts(_ option: NBDOption, _ data: UnsafeRawBufferPointer) {
        let selects = option == .setMetaContext
        if selects { session.hasAllocation = false }
        guard let (name, isWanted) = Self.readQueries(data, listing: !selects), !selects || session.isStructured else {
            return refuse(option.rawValue, .invalid)
        }
        guard export.answers(to: name) else { return refuse(option.rawValue, .unknown, "no such export") }
        if isWanted {
            var context: [UInt8] = []
            context.append(bigEndian: selects ? Self.allocationID : 0)
            context.append(contentsOf: Self.allocationContext.utf8)
            reply(option, .metaContext, context)
            if selects { session.hasAllocation = true }
        }
        reply(option, .ack)
    }

    /// The name of an export, and whether the queries ask for the one context that there is. In a list no query at all asks
    /// for everything, and "base:" for everything in that name space. Nil where the lengths do not add up.
    private static func readQueries(
        _ data: UnsafeRawBufferPointer, listing: Bool
    ) -> (name: UnsafeRawBufferPointer, isWanted: Bool)? {
        var reader = NBDMessageReader(data)
        guard let name = reader.string(), let count = reader.number(as: UInt32.self) else { return nil }
        var isWanted = listing && count == 0
        for _ in 0..<count {
            guard let query = reader.string() else { return nil }
            isWanted = isWanted || query.elementsEqual(allocationContext.utf8)
            isWanted = isWanted || listing && query.elementsEqual("base:".utf8)
        }
        return reader.isAtEnd ? (name, isWanted) : nil
    }
}
