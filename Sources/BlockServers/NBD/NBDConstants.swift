import Glibc

// Numbers of the NBD protocol, as its specification (doc/proto.md of the NBD project) gives them. All numbers on the wire
// are big-endian.

/// What messages begin with.
enum NBDMagic {
    /// "NBDMAGIC", the first thing a server says.
    static let hello: UInt64 = 0x4E42_444D_4147_4943
    /// "IHAVEOPT", before every option, and the second thing a server says.
    static let option: UInt64 = 0x4948_4156_454F_5054
    /// Before every reply to an option.
    static let optionReply: UInt64 = 0x0003_E889_0455_65A9
    /// Before every request.
    static let request: UInt32 = 0x2560_9513
    /// Before a simple reply.
    static let simpleReply: UInt32 = 0x6744_6698
    /// Before every chunk of a structured reply.
    static let structuredReply: UInt32 = 0x668E_33EF
}

/// Flags that both sides exchange before anything else; the client's have the same values as the server's.
struct NBDHandshakeFlags: OptionSet {
    let rawValue: UInt32
    static let fixedNewstyle = Self(rawValue: 1)
    static let noZeroes = Self(rawValue: 2)
}

/// What a client may ask for before transmission begins.
enum NBDOption: UInt32 {
    case exportName = 1
    case abort = 2
    case list = 3
    case startTLS = 5
    case info = 6
    case go = 7
    case structuredReply = 8
    case listMetaContext = 9
    case setMetaContext = 10
    case extendedHeaders = 11
}

/// How a server replies to an option.
enum NBDOptionReply: UInt32 {
    case ack = 1
    case server = 2
    case info = 3
    case metaContext = 4
    case unsupported = 0x8000_0001
    case invalid = 0x8000_0003
    case unknown = 0x8000_0006
    case tooBig = 0x8000_0009
}

/// What `info` and `go` tell about an export.
enum NBDInfo: UInt16 {
    case export = 0
    case name = 1
    case description = 2
    case blockSize = 3
}

/// What an export can do.
struct NBDTransmissionFlags: OptionSet {
    let rawValue: UInt16
    static let hasFlags = Self(rawValue: 1 << 0)
    static let readOnly = Self(rawValue: 1 << 1)
    static let sendFlush = Self(rawValue: 1 << 2)
    static let sendFUA = Self(rawValue: 1 << 3)
    static let sendTrim = Self(rawValue: 1 << 5)
    static let sendWriteZeroes = Self(rawValue: 1 << 6)
    static let sendDF = Self(rawValue: 1 << 7)
    static let canMultiConn = Self(rawValue: 1 << 8)
    static let sendCache = Self(rawValue: 1 << 10)
    static let sendFastZero = Self(rawValue: 1 << 11)
}

/// What a client may ask of an export.
enum NBDCommand: UInt16 {
    case read = 0
    case write = 1
    case disconnect = 2
    case flush = 3
    case trim = 4
    case cache = 5
    case writeZeroes = 6
    case blockStatus = 7
}

/// How a command is to be carried out.
struct NBDCommandFlags: OptionSet {
    let rawValue: UInt16
    /// The data is on the medium when the command ends. Taken on every command.
    static let fua = Self(rawValue: 1 << 0)
    /// The zeroes are to take up storage.
    static let noHole = Self(rawValue: 1 << 1)
    /// The data read comes in one chunk.
    static let dontFragment = Self(rawValue: 1 << 2)
    /// One extent is enough.
    static let requestOne = Self(rawValue: 1 << 3)
    /// The zeroes are to be refused where they are not faster than data.
    static let fastZero = Self(rawValue: 1 << 4)
}

extension NBDCommand {
    /// The flags that may come with it.
    var allowedFlags: NBDCommandFlags {
        switch self {
        case .read: [.fua, .dontFragment]
        case .writeZeroes: [.fua, .noHole, .fastZero]
        case .blockStatus: [.fua, .requestOne]
        case .write, .disconnect, .flush, .trim, .cache: .fua
        }
    }
}

/// What a chunk of a structured reply carries.
enum NBDChunk: UInt16 {
    case none = 0
    case offsetData = 1
    case blockStatus = 5
    case error = 0x8001
}

/// Sizes of messages in bytes.
enum NBDSize {
    static let optionHeader = 16
    static let request = 28
    static let simpleReply = 16
    static let chunk = 20
    /// The zeroes behind the reply to `exportName`.
    static let zeroes = 124
    /// The longest string.
    static let string = 4096
    /// What a client may put into one request or expect of one reply where nothing else was agreed.
    static let payload = 32 << 20
    /// What is taken all the same.
    static let mostPayload = 64 << 20
}

/// What is known of a range of `base:allocation`.
struct NBDAllocationFlags: OptionSet {
    let rawValue: UInt32
    static let hole = Self(rawValue: 1)
    static let zero = Self(rawValue: 2)
}

/// Errors as the protocol numbers them: the few that it knows have the numbers of Linux.
enum NBDError {
    /// The number for an errno.
    static func number(_ errno: Int32) -> UInt32 {
        switch errno {
        case 0, EPERM, EIO, ENOMEM, EINVAL, ENOSPC, EOVERFLOW, EOPNOTSUPP, ESHUTDOWN: UInt32(errno)
        case EROFS: UInt32(EPERM)
        case EDQUOT, EFBIG: UInt32(ENOSPC)
        default: UInt32(EIO)
        }
    }
}
