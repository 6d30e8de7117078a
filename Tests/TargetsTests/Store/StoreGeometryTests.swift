import Testing

@testable import Targets

@Suite("The geometry of a store")
struct StoreGeometryTests {
    @Test(
        "puts areas where the kernel does",
        arguments: [
            (8, 256, [1, 258, 515]), (16, 512, [1, 514, 1027]), (32, 1024, [1, 1026, 2051]),
            (64, 2048, [1, 2050, 4099]), (128, 4096, [1, 4098, 8195]), (1024, 32768, [1, 32770, 65539]),
            (1, 32, [1, 34, 67]), (2_097_152, 67_108_864, [1, 67_108_866, 134_217_731]),
        ] as [(UInt64, UInt64, [UInt64])])
    func areas(chunk: UInt64, exceptions: UInt64, areas: [UInt64]) {
        let geometry = StoreGeometry(chunkSectors: chunk)
        #expect(geometry.exceptionsPerArea == exceptions)
        #expect(geometry.chunkBytes == exceptions * 16)
        for (index, area) in areas.enumerated() {
            #expect(geometry.areaChunk(UInt64(index)) == area)
            #expect(geometry.areaSector(UInt64(index)) == area * chunk)
            #expect(geometry.isArea(area) && !geometry.isData(area))
            #expect(geometry.isData(area + 1) && !geometry.isArea(area + 1))
            #expect(geometry.dataChunk(after: area) == area + 1)
            #expect(geometry.dataChunk(after: area - 1) == (area == 1 ? 2 : area + 1))
            #expect(geometry.areas(in: (area + 1) * chunk) == UInt64(index) + 1)
            #expect(geometry.areas(in: (area + 1) * chunk - 1) == UInt64(index))
        }
        #expect(!geometry.isData(0))
    }

    @Test("counts a shorter last chunk of an origin, and none of a store")
    func partialChunks() {
        let geometry = StoreGeometry(chunkSectors: 16)
        #expect(geometry.originChunks(in: 32) == 2)
        #expect(geometry.originChunks(in: 33) == 3)
        #expect(geometry.chunks(in: 47) == 2)
    }

    @Test("refuses a chunk size with the rule that it breaks")
    func rules() {
        func fault(_ chunk: UInt64, store: UInt64 = 1, origin: UInt64? = nil) -> ChunkSizeFault? {
            do {
                let geometry = try StoreGeometry(checking: chunk, storeBlock: store, originBlock: origin)
                #expect(geometry.chunkSectors == chunk)
                return nil
            } catch {
                return error
            }
        }
        #expect(fault(0) == .zero)
        #expect(fault(2_097_152) == nil)
        #expect(fault(4_194_304) == .tooLarge(4_194_304))
        #expect(fault(.max) == .tooLarge(.max))
        #expect(fault(24) == .notPowerOfTwo(24))
        #expect(fault(1) == nil)
        #expect(fault(4, store: 8) == .notMultiple(4, of: 8, device: .store))
        #expect(fault(4, origin: 8) == .notMultiple(4, of: 8, device: .origin))
        #expect(fault(8, store: 8, origin: 8) == nil)
        #expect(
            fault(4, origin: 8)?.description
                == "a chunk of 4 sectors: it has to be a multiple of the origin's logical block of 8 sectors")
    }
}

@Suite("The format of a store")
struct StoreFormatTests {
    @Test(
        "writes the header of a valid and of an invalid store byte for byte, and reads it back",
        arguments: [true, false])
    func header(isValid: Bool) {
        var bytes = [UInt8](repeating: 0xaa, count: 8192)
        let header = StoreHeader(chunkSectors: 16, isValid: isValid)
        bytes.withUnsafeMutableBytes { header.encode(into: $0) }
        #expect(bytes[..<16] == [0x53, 0x6E, 0x41, 0x70, isValid ? 1 : 0, 0, 0, 0, 1, 0, 0, 0, 0x10, 0, 0, 0])
        #expect(bytes[16...].allSatisfy { $0 == 0 })
        #expect(bytes.withUnsafeBytes { StoreHeader(decoding: $0) } == header)
    }

    @Test("writes an exception byte for byte, and reads it from a place of any alignment")
    func exception() {
        var bytes = [UInt8](repeating: 0, count: 49)
        bytes.withUnsafeMutableBytes { buffer in
            let odd = UnsafeMutableRawBufferPointer(rebasing: buffer[1...])
            ExceptionEntry(old: 5, new: 2).encode(into: odd, slot: 0)
            ExceptionEntry(old: 0x0102_0304_0506_0708, new: 0xf1f2_f3f4_f5f6_f7f8).encode(into: odd, slot: 2)
            let read = ExceptionEntry(decoding: UnsafeRawBufferPointer(odd), slot: 2)
            #expect(read == ExceptionEntry(old: 0x0102_0304_0506_0708, new: 0xf1f2_f3f4_f5f6_f7f8))
        }
        #expect(bytes[1..<17] == [5, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0])
        #expect(bytes[33...] == [8, 7, 6, 5, 4, 3, 2, 1, 0xf8, 0xf7, 0xf6, 0xf5, 0xf4, 0xf3, 0xf2, 0xf1])
    }
}
