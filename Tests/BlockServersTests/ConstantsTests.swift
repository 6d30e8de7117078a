import Testing

@testable import BlockServers

@Test("the greeting spells NBDMAGIC")
func greeting() {
    let text = withUnsafeBytes(of: NBDMagic.hello.bigEndian) { String(decoding: $0, as: UTF8.self) }
    #expect(text == "NBDMAGIC")
}
