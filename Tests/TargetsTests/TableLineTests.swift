import BlockIO
import Targets
import Testing

@Test("a table line keeps its words in order")
func wordsInOrder() {
    let line = TableLine(range: SectorRange(start: 0, count: 8), type: "linear", words: ["/dev/a", "0"])
    #expect(line.words == ["/dev/a", "0"])
    #expect(line.range.count == 8)
}
