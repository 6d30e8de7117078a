import BlockIO
import SystemPackage
import TestSupport
import Testing

@testable import Targets

@Suite("A store on a device")
struct BlockDeviceMediumTests {
    let directory: TemporaryDirectory

    init() throws { directory = try TemporaryDirectory() }

    private static let list = MemoryMedium.inOrder(4 * 256 + 9, chunk: 8)

    /// The bytes of a store of 8-sector chunks with four full areas and a bit of a fifth.
    private func storeBytes() -> [UInt8] {
        MemoryMedium.store(chunk: 8, chunks: 1400, Self.list).peek(0, 1400 * 4096)
    }

    private func roundTrip(_ path: String, block: UInt64) throws {
        let device = try BlockDevice.open(FilePath(path), access: .readWrite, claim: true)
        defer { device.close() }
        let medium = BlockDeviceMedium(device)
        #expect(try medium.sectors == 1400 * 8)
        #expect(medium.logicalBlockSectors == block)
        let store = try PersistentStoreLoader(medium: medium).load()
        #expect(store.condition == .valid && store.cursor.area == 4 && store.cursor.used == 9)
        #expect(Self.list.allSatisfy { store.table.lookup($0.old)?.newChunk == $0.new })
        // Cut off and repaired: one more entry that can mean nothing.
        let place = (1 + 4 * 257) * 4096 + 9 * 16
        try Bytes.write([UInt8](repeating: 0xff, count: 16), to: path, at: place)
        let error = #expect(throws: BlockError.self) { try PersistentStoreLoader(medium: medium).load() }
        #expect(error?.reason.hasPrefix("area 4, slot 9 (byte \(place)): ") == true)
        #expect(try StoreInspector(device: device).repair().droppedExceptions == 1)
        #expect(
            try Bytes.read(path, at: place - 144, count: 4096) == Bytes.read(path, at: place - 144, count: 144)
                + [UInt8](repeating: 0, count: 3952))
        #expect(try PersistentStoreLoader(medium: medium).load().table.count == UInt64(Self.list.count))
    }

    @Test("loads and is repaired on an image file")
    func imageFile() throws {
        let path = try directory.image("store", contents: storeBytes())
        try roundTrip(
            path, block: try BlockDevice.open(FilePath(path), access: .readOnly, claim: false).geometry.blockSectors)
    }

    @Test(
        "loads and is repaired on a block device, areas read at the same time",
        .enabled(if: LoopDevice.canHaveLargeBlocks),
        arguments: [512, 4096])
    func blockDevice(block: Int) throws {
        let image = try directory.image("store", contents: storeBytes())
        try LoopDevice.with(image, options: ["--sector-size", "\(block)"]) { path in
            try roundTrip(path, block: UInt64(block / 512))
        }
    }

    @Test("a new image file is initialised byte for byte, and a shrunken one is refused")
    func new() throws {
        let path = try directory.image(
            "store", contents: [UInt8](repeating: 0, count: 8192) + [UInt8](repeating: 7, count: 8192), bytes: 1 << 20)
        let device = try BlockDevice.open(FilePath(path), access: .readWrite, claim: true)
        defer { device.close() }
        let loader = PersistentStoreLoader(medium: BlockDeviceMedium(device), tableChunk: 16)
        #expect(try loader.load().condition == .new)
        let header: [UInt8] = [0x53, 0x6E, 0x41, 0x70, 1, 0, 0, 0, 1, 0, 0, 0, 0x10, 0, 0, 0]
        #expect(try Bytes.read(path, count: 16384) == header + [UInt8](repeating: 0, count: 16368))
        let file = try FileDescriptor.open(FilePath(path), .readWrite)
        try file.closeAfter { try file.resize(to: 8192) }
        #expect(throws: BlockError.self) { try loader.load() }
    }

    @Test("a closed device and one that is open for reading only are errors that name the operation")
    func errors() throws {
        let path = try directory.image("store", bytes: 1 << 20)
        let device = try BlockDevice.open(FilePath(path), access: .readOnly, claim: false)
        let loader = PersistentStoreLoader(medium: BlockDeviceMedium(device), tableChunk: 16)
        let error = #expect(throws: BlockError.self) { try loader.load() }
        #expect(error?.object == path && error?.operation == "write" && error?.errno == .badFileDescriptor)
        device.close()
        #expect(throws: BlockError.self) { try loader.load() }
    }
}
