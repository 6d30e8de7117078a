import SystemPackage

/// What mapped devices may be called, and their uuids.
///
/// libdevmapper spells other characters than these in another way (dm_set_name_mangling_mode); what would have to be spelled
/// in another way is refused here.
enum MappedDeviceNames {
    /// DM_NAME_LEN and DM_UUID_LEN of linux/dm-ioctl.h, without the zero byte.
    static let longestName = 127
    static let longestUUID = 128

    private static let others = Set("#+-.:=@_".utf8)

    private static func isPlain(_ byte: UInt8) -> Bool {
        switch byte {
        case 0x30...0x39, 0x41...0x5a, 0x61...0x7a: true
        default: others.contains(byte)
        }
    }

    /// - Throws: EINVAL with the rule that a name breaks.
    static func check(name: String, _ operation: String) throws(TargetError) {
        let object = "device \"\(name)\""
        func refusal(_ reason: String) -> TargetError { TargetError(object, operation, .invalidArgument, reason) }
        if name.isEmpty { throw refusal("a name has 1 to \(longestName) bytes") }
        try check(name, object, "a name", operation, longest: longestName)
        if name == "." || name == ".." { throw refusal("it is the name of a directory") }
        if name == "control" { throw refusal("it is the name of device-mapper's own node") }
    }

    /// - Throws: EINVAL with the rule that a uuid breaks.
    static func check(uuid: String, of name: String, _ operation: String) throws(TargetError) {
        try check(uuid, "device \"\(name)\", uuid \"\(uuid)\"", "a uuid", operation, longest: longestUUID)
    }

    private static func check(
        _ text: String, _ object: String, _ what: String, _ operation: String, longest: Int
    ) throws(TargetError) {
        guard text.utf8.count <= longest else {
            throw TargetError(
                object, operation, .invalidArgument,
                "\(what) has at most \(longest) bytes, and this one has \(text.utf8.count)")
        }
        guard text.utf8.allSatisfy(isPlain) else {
            throw TargetError(
                object, operation, .invalidArgument,
                "\(what) is made of letters, digits and #+-.:=@_, without anything else")
        }
    }
}
