import Glibc
import SystemPackage
import TestSupport
import Testing

@testable import Targets

/// Random and mutated tables: reading one never crashes, a refusal says where, and what is read is what is printed.
@Suite("Tables of random words")
struct TableFuzzTests {
    /// Lines that mutations begin with: every type, with all that it takes.
    private static let lines = [
        "0 2048 linear /dev/loop0 16", "0 8 zero", "0 8 error",
        "0 204800 snapshot /dev/a /dev/b P 16", "0 204800 snapshot 7:0 7:1 PO 0 1 discard_zeroes_cow",
        "0 204800 snapshot /dev/a /dev/b n 128 2 DISCARD_ZEROES_COW discard_passdown_origin",
        "0 204800 snapshot-merge /dev/a /dev/b P 8", "0 204800 snapshot-origin /dev/a",
        "# nothing\n\n0 1 zero\n1 1 zero\n",
    ]
    /// What a word is replaced by.
    private static let words = [
        "", "0", "1", "-1", "+1", "3", "16", "2097152", "4194304", "18446744073709551615", "18446744073709551616",
        "1e3", "0x10", "P", "PO", "Px", "N", "nonsense", "persistent", "/dev/a", "/dev/b", "a\\ b", "\\", "linear",
        "snapshot", "a-type-of-16-char", "\u{e9}\u{1F600}", "\u{0}", "#", "2", "discard_zeroes_cow",
    ]

    private static let seconds = getenv("UCOPYD_FUZZ_SECONDS").flatMap { Double(String(cString: $0)) }

    private static func table(_ numbers: inout SeededNumbers) -> String {
        var text = ""
        for _ in 0...numbers.next() % 3 {
            let line = lines[Int(numbers.next() % UInt64(lines.count))]
            var words = line.split(separator: " ", omittingEmptySubsequences: false).map(String.init)
            for _ in 0..<numbers.next() % 3 {
                let place = Int(numbers.next() % UInt64(words.count))
                let word = Self.words[Int(numbers.next() % UInt64(Self.words.count))]
                switch numbers.next() % 4 {
                case 0: words.insert(word, at: place)
                case 1 where words.count > 1: words.remove(at: place)
                default: words[place] = word
                }
            }
            text += words.joined(separator: numbers.next() % 8 == 0 ? "\t" : " ") + "\n"
        }
        guard numbers.next() % 4 == 0 else { return text }
        var bytes = Array(text.utf8)
        for _ in 0..<4 where !bytes.isEmpty {
            bytes[Int(numbers.next() % UInt64(bytes.count))] = UInt8(truncatingIfNeeded: numbers.next())
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    private func examine(_ seed: UInt64) {
        var numbers = SeededNumbers(seed)
        let text = Self.table(&numbers)
        do throws(TargetError) {
            let table = try TargetTable(parsing: text)
            let again = try TargetTable(parsing: table.description)
            #expect(
                again.lines.map(\.words) == table.lines.map(\.words) && again.sectors == table.sectors,
                "seed \(seed): \(text)")
            for line in table.lines {
                do throws(TargetError) {
                    #expect(try TargetRegistry.all.parse(line).devices.count <= 2)
                } catch {
                    #expect(error.object.hasPrefix("table line \(line.number)") && error.errno.rawValue == EINVAL)
                }
            }
        } catch {
            #expect(error.errno.rawValue == EINVAL && !error.reason.isEmpty, "seed \(seed): \(error)")
        }
    }

    @Test("are read or refused with their place, and read again as they are printed")
    func random() {
        for seed in 0..<20_000 as Range<UInt64> { examine(seed) }
        guard let seconds = Self.seconds else { return }
        let end = ContinuousClock.now + .seconds(seconds)
        var seed = UInt64.random(in: 0 ... .max)
        while ContinuousClock.now < end {
            examine(seed)
            seed &+= 1
        }
    }
}
