import Foundation

/// Where the tests find what they test.
enum Paths {
    /// The package.
    static let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent()
    /// The built products: UCOPYD_BIN_DIR, else where `swift build` puts them.
    static let products =
        ProcessInfo.processInfo.environment["UCOPYD_BIN_DIR"].map { URL(filePath: $0) }
        ?? root.appending(path: ".build/debug")
    /// The C programs of these tests.
    static let programs = root.appending(path: "Tests/KCopydTests/Programs")
    /// The header's folder.
    static let include = root.appending(path: "Sources/CKCopyd/include")
    /// The library under test.
    static let library = products.appending(path: "libkcopyd.so")
    /// The daemon that hosts clients.
    static let daemon = products.appending(path: "ucopyd")

    /// Whether a product is there; UCOPYD_BIN_DIR promises that all are.
    static func isBuilt(_ product: URL) -> Bool {
        ProcessInfo.processInfo.environment["UCOPYD_BIN_DIR"] != nil
            || FileManager.default.fileExists(atPath: product.path)
    }
}
