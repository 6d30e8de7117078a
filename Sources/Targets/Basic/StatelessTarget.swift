import BlockIO
import SystemPackage

/// A target that keeps nothing between requests and holds none: there is nothing to suspend, and nothing that could refuse.
protocol StatelessTarget: Target {}

extension StatelessTarget {
    var devices: [any TargetDevice] { [] }
    var tableText: String { "" }
    var statusText: String { "" }
    var details: [TargetDetail] { [] }

    func presuspend(requeue: @escaping (BlockRequest) -> Void, done: @escaping () -> Void) { done() }
    func postsuspend() {}
    func preresume() throws(TargetError) {}
    func resume() {}

    func message(_ words: [String]) throws(TargetError) -> String {
        throw TargetError(
            "target \(typeName)", "message", .invalidArgument,
            "it knows no message, \"\(words.joined(separator: " "))\" included")
    }

    func destroy(_ done: @escaping () -> Void) {
        for device in devices { device.release() }
        done()
    }
}
