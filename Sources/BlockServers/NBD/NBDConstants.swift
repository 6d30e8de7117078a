/// Numbers of the NBD protocol, as its specification (doc/proto.md of the NBD project) gives them.
enum NBDMagic {
    /// "NBDMAGIC", the first thing a server says.
    static let hello: UInt64 = 0x4E42_444D_4147_4943
    /// "IHAVEOPT", before every option, and the second thing a server says.
    static let option: UInt64 = 0x4948_4156_454F_5054
}
