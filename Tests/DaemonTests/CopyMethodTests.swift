import ControlAPI
import Glibc
import SystemPackage
import Testing
import Varlink

@testable import Daemon

extension DaemonTests {
    @Suite struct CopyMethodTests {
        @Test func aCopyPutsTheSourcesBytesOnEveryDestination() throws {
            let daemon = try TestDaemon()
            let source = try daemon.directory.noise("source", sectors: 4096)
            let first = try daemon.directory.image("first", sectors: 4096)
            let second = try daemon.directory.image("second", sectors: 5000, filledWith: 7)
            let (connection, client) = try daemon.client()

            let job = try connection.copy(client, source.region(), [first.region(), second.region(100)])
            let report = try #require(try connection.wait(job: job))

            let expected = try source.bytes()
            #expect(try first.bytes() == expected)
            let shifted = try second.bytes()
            #expect(Array(shifted[(100 * 512)..<(4196 * 512)]) == expected)
            #expect(shifted[..<(100 * 512)].allSatisfy { $0 == 7 } && shifted[(4196 * 512)...].allSatisfy { $0 == 7 })
            #expect(report.state == .done)
            #expect(
                report.bytes == 4096 * 512 && report.totalBytes == report.bytes && report.copiedBytes == report.bytes)
            #expect(report.source == source.string && report.destinations == [first.string, second.string])
            #expect(report.writeErrors == [false, false] && !report.readError && report.seconds > 0)
            #expect(daemon.stop() == 0)
        }

        @Test func zeroWithoutACountGoesToTheEndOfTheFirstRegion() throws {
            let daemon = try TestDaemon()
            let first = try daemon.directory.image("first", sectors: 64, filledWith: 1)
            let second = try daemon.directory.image("second", sectors: 100, filledWith: 2)
            let (connection, client) = try daemon.client()

            let job = try connection.call(
                CopyInterface.Zero.self, .init(client: client, regions: [first.region(8), second.region()])
            ).job
            let report = try #require(try connection.wait(job: job))

            #expect(report.kind == .zero && report.state == .done && report.source == nil)
            #expect(try first.bytes() == [UInt8](repeating: 1, count: 8 * 512) + [UInt8](repeating: 0, count: 56 * 512))
            #expect(
                try second.bytes() == [UInt8](repeating: 0, count: 56 * 512) + [UInt8](repeating: 2, count: 44 * 512))
            #expect(daemon.stop() == 0)
        }

        @Test func jobsOfOneClientShareADestinationThatIsClaimed() throws {
            let daemon = try TestDaemon()
            let source = try daemon.directory.noise("source", sectors: 256)
            let target = try daemon.directory.image("target", sectors: 256)
            let (connection, client) = try daemon.client(bytesPerSecond: 0)

            let jobs = try (0..<8).map { piece in
                let sector = UInt64(piece) * 32
                return try connection.copy(client, source.region(sector, 32), [target.region(sector)])
            }
            #expect(try !target.isUnclaimed())
            let (other, rival) = try daemon.client()
            let refusal = failure { _ = try other.copy(rival, source.region(), [target.region()]) }
            #expect(refusal?.errno == EBUSY)

            try connection.setRate(client, nil)
            for job in jobs { #expect(try connection.wait(job: job)?.state == .done) }
            #expect(try target.bytes() == source.bytes())
            #expect(try target.isUnclaimed())
            #expect(daemon.stop() == 0)
        }

        @Test func aDestinationThatIsTooSmallIsRefusedWithTheNumbers() throws {
            let daemon = try TestDaemon()
            let source = try daemon.directory.image("source", sectors: 128)
            let target = try daemon.directory.image("target", sectors: 100, filledWith: 9)
            let (connection, client) = try daemon.client()

            let refusal = failure { _ = try connection.copy(client, source.region(), [target.region()]) }
            guard case .refused(let object, let reason, _) = try #require(refusal) else {
                Issue.record("\(String(describing: refusal))")
                return
            }
            #expect(object == target.string && reason.contains("128") && reason.contains("100"))
            #expect(try target.bytes() == [UInt8](repeating: 9, count: 100 * 512))
            #expect(try target.isUnclaimed())
            #expect(daemon.stop() == 0)
        }

        @Test func aSourceThatBeginsBehindItsDeviceIsRefused() throws {
            let daemon = try TestDaemon()
            let source = try daemon.directory.image("source", sectors: 16)
            let target = try daemon.directory.image("target", sectors: 16)
            let (connection, client) = try daemon.client()
            let refusal = failure { _ = try connection.copy(client, source.region(17), [target.region()]) }
            #expect(
                refusal
                    == .refused(object: source.string, reason: "sector 17 is behind its end: it has 16", errno: EINVAL))
            #expect(daemon.stop() == 0)
        }

        @Test(arguments: [0, 9]) func otherThanOneToEightDestinationsAreRefused(count: Int) throws {
            let daemon = try TestDaemon()
            let source = try daemon.directory.image("source", sectors: 16)
            let targets = try (0..<count).map { try daemon.directory.image("target\($0)", sectors: 16) }
            let (connection, client) = try daemon.client()
            let refusal = failure { _ = try connection.copy(client, source.region(), targets.map { $0.region() }) }
            #expect(
                refusal
                    == .refused(object: "destinations", reason: "\(count) regions: 1 to 8 are possible", errno: EINVAL))
            #expect(daemon.stop() == 0)
        }

        @Test func descriptorsStandForDevicesAndAllowWhatTheyAllow() throws {
            let daemon = try TestDaemon()
            let source = try daemon.directory.noise("source", sectors: 64)
            let target = try daemon.directory.image("target", sectors: 64)
            let (connection, client) = try daemon.client()
            let from = try FileDescriptor.open(source.path, .readOnly, options: [.closeOnExec])
            let to = try FileDescriptor.open(target.path, .readWrite, options: [.closeOnExec])
            defer {
                #expect(throws: Never.self) { try from.close() }
                #expect(throws: Never.self) { try to.close() }
            }

            let job = try connection.copy(
                client, .init(descriptor: 0, name: "from"), [.init(descriptor: 1)], descriptors: [from, to])
            let report = try #require(try connection.wait(job: job))
            #expect(report.state == .done && report.source == "from" && report.destinations == ["descriptor 1"])
            #expect(try target.bytes() == source.bytes())

            let refusal = failure {
                _ = try connection.copy(client, .init(descriptor: 1), [.init(descriptor: 0)], descriptors: [from, to])
            }
            #expect(refusal?.errno == EACCES || refusal?.errno == EPERM || refusal?.errno == EBADF)
            #expect(daemon.stop() == 0)
        }

        @Test func aDeviceStaysOpenUntilItIsClosedOrItsConnectionEnds() throws {
            let daemon = try TestDaemon()
            let source = try daemon.directory.noise("source", sectors: 64)
            let target = try daemon.directory.image("target", sectors: 64)
            let (connection, client) = try daemon.client()
            let opened = try connection.call(
                CopyInterface.OpenDevice.self, .init(path: target.string, writable: true))
            #expect(opened.sectors == 64 && opened.logicalBlockSize >= 512)
            #expect(try !target.isUnclaimed())
            let job = try connection.copy(client, source.region(), [.init(device: opened.device)])
            #expect(try connection.wait(job: job)?.state == .done)
            #expect(try target.bytes() == source.bytes())
            _ = try connection.call(CopyInterface.CloseDevice.self, .init(device: opened.device))
            #expect(try target.isUnclaimed())
            let again = failure {
                _ = try connection.call(CopyInterface.CloseDevice.self, .init(device: opened.device))
            }
            #expect(again == .noSuchDevice(device: opened.device))
            let foreign = try daemon.connect().call(CopyInterface.OpenDevice.self, .init(path: source.string)).device
            #expect(
                failure { _ = try connection.copy(client, .init(device: foreign), [target.region()]) }
                    == .noSuchDevice(device: foreign))
            #expect(daemon.stop() == 0)
        }

        @Test func aPathThatIsNoDeviceFailsWithTheObjectAndTheReason() throws {
            let daemon = try TestDaemon()
            let target = try daemon.directory.image("target", sectors: 16)
            let (connection, client) = try daemon.client()
            let missing = daemon.directory.path.appending("missing").string
            let refusal = failure { _ = try connection.copy(client, .init(path: missing), [target.region()]) }
            guard case .deviceFailed(let object, let operation, _, let number) = try #require(refusal) else {
                Issue.record("\(String(describing: refusal))")
                return
            }
            #expect(object == missing && operation == "open" && number == ENOENT)
            #expect(daemon.stop() == 0)
        }

        @Test func wrongParametersAreNamed() throws {
            let daemon = try TestDaemon()
            let connection = try daemon.connect()
            let client = try connection.client()
            let source = try daemon.directory.image("source", sectors: 16)
            func parameter(_ body: () throws -> Void) -> String? {
                struct Named: Decodable { var parameter: String }
                do { try body() } catch ControlError.reply(let error) {
                    return error.decodeParameters(as: Named.self)?.parameter
                } catch {}
                return nil
            }
            #expect(parameter { _ = try connection.copy(client, .init(), [source.region()]) } == "source.device")
            #expect(
                parameter { _ = try connection.copy(client, source.region(), [.init(path: "/x", descriptor: 0)]) }
                    == "destinations[0].device")
            #expect(
                parameter { _ = try connection.copy(client, .init(descriptor: 0), [source.region()]) }
                    == "source.descriptor")
            #expect(
                parameter { _ = try connection.call(CopyInterface.SetRate.self, .init(client: client, percent: 101)) }
                    == "percent")
            #expect(parameter { _ = try connection.call(CopyInterface.Watch.self, .init()) } == "job")
            #expect(parameter { _ = try connection.call(CopyInterface.OpenDevice.self, .init()) } == "path")
            #expect(daemon.stop() == 0)
        }
    }
}
