import Glibc
import SystemPackage

/// Standard output and standard error, written at once and without buffers: what has been written
/// has arrived, or there is an error to tell.
enum StandardStreams {
    /// Makes sure that descriptors 0 to 2 are taken, so that no device is ever opened in their place
    /// and gets a message written into it, and that a reader that goes away is an error and no death.
    static func prepare() {
        // Without a handler there is nothing to restore.
        _ = signal(SIGPIPE, SIG_IGN)
        for descriptor: Int32 in 0...2 where fcntl(descriptor, F_GETFD) < 0 {
            // Read-only for standard output: results that nobody gets are an error, not a success.
            // open(2) takes the lowest free number, which is this one. Where even /dev/null fails
            // there is no better place for a message.
            _ = open("/dev/null", descriptor == 1 ? O_RDONLY : O_RDWR)
        }
    }

    /// Writes lines to standard output.
    static func print(_ text: String) throws(Failure) {
        do throws(Errno) {
            try write(text.hasSuffix("\n") ? text : text + "\n", to: STDOUT_FILENO)
        } catch {
            throw Failure("standard output", "write", error)
        }
    }

    /// Writes a failure as one line to standard error.
    static func report(_ failure: Failure) {
        note("ucopyctl: \(failure)")
    }

    /// Writes a line to standard error.
    static func note(_ line: String) {
        writeError(visible(line) + "\n")
    }

    /// Writes to standard error as it is.
    static func writeError(_ text: String) {
        // Nobody is left to be told that nobody can be told.
        try? write(text, to: STDERR_FILENO)
    }

    /// Text with its control characters made visible, so that no name can break a line in two or
    /// command the terminal.
    static func visible(_ text: String) -> String {
        guard text.utf8.contains(where: { $0 < 0x20 || $0 == 0x7f }) else { return text }
        return text.unicodeScalars.reduce(into: "") { result, scalar in
            let isControl = scalar.value < 0x20 || scalar.value == 0x7f
            if isControl {
                result += "\\x" + (scalar.value < 0x10 ? "0" : "") + String(scalar.value, radix: 16)
            } else {
                result.unicodeScalars.append(scalar)
            }
        }
    }

    /// Writes all of a text to a descriptor.
    static func write(_ text: String, to descriptor: Int32) throws(Errno) {
        var bytes = Array(text.utf8)[...]
        while !bytes.isEmpty {
            let count = bytes.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
            if count >= 0 {
                bytes = bytes.dropFirst(count)
            } else if errno != EINTR {
                throw Errno(rawValue: errno)
            }
        }
    }
}
