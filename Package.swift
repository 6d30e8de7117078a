// swift-tools-version: 6.2
import PackageDescription

let strict: [SwiftSetting] = [
    .treatAllWarnings(as: .error),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("InternalImportsByDefault"),
]

let system: Target.Dependency = .product(name: "SystemPackage", package: "swift-system")
let deque: Target.Dependency = .product(name: "DequeModule", package: "swift-collections")
let logging: Target.Dependency = .product(name: "Logging", package: "swift-log")
let arguments: Target.Dependency = .product(name: "ArgumentParser", package: "swift-argument-parser")

let package = Package(
    name: "ucopyd",
    products: [
        .executable(name: "ucopyd", targets: ["ucopyd"]),
        .executable(name: "ucopyctl", targets: ["ucopyctl"]),
        .library(name: "kcopyd", type: .dynamic, targets: ["KCopyd"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
        .package(url: "https://github.com/apple/swift-system", from: "1.8.1"),
        .package(url: "https://github.com/apple/swift-collections", from: "1.6.0"),
        .package(url: "https://github.com/swift-server/swift-service-lifecycle", from: "2.13.0"),
    ],
    targets: [
        // Floor 0: system libraries and the C shims that Swift cannot do without.
        .systemLibrary(name: "CURing", pkgConfig: "liburing", providers: [.apt(["liburing-dev"])]),
        .systemLibrary(name: "CSystemd", pkgConfig: "libsystemd", providers: [.apt(["libsystemd-dev"])]),
        .target(name: "CLinux"),

        // Floor 1: devices, page pools, rings.
        .target(name: "BlockIO", dependencies: ["CURing", "CLinux", system, deque], swiftSettings: strict),

        // How a Unix socket is put at a path.
        .target(name: "UnixSockets", dependencies: ["CLinux", system], swiftSettings: strict),

        // Floor 2: the copy service.
        .target(
            name: "KCopy",
            dependencies: ["BlockIO", system, deque],
            swiftSettings: strict),

        // Floor 3: the targets, how they reach their users, and the control protocol.
        .target(name: "Targets", dependencies: ["KCopy", "BlockIO", "CLinux", system, deque], swiftSettings: strict),
        .target(
            name: "BlockServers", dependencies: ["BlockIO", "UnixSockets", "CLinux", system], swiftSettings: strict),
        .target(name: "Varlink", dependencies: ["UnixSockets", "CLinux", system], swiftSettings: strict),

        // Floor 4: the daemon's interfaces as types.
        .target(name: "ControlAPI", dependencies: ["Varlink", system], swiftSettings: strict),

        // Floor 5: composition.
        .target(
            name: "Daemon",
            dependencies: [
                "Targets", "BlockServers", "KCopy", "BlockIO", "Varlink", "ControlAPI", "CSystemd", "CLinux", system,
                logging,
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
                .product(name: "UnixSignals", package: "swift-service-lifecycle"),
            ],
            swiftSettings: strict),

        // Floor 6: programs and the C library.
        .executableTarget(
            name: "ucopyd", dependencies: ["Daemon", "BlockIO", "ControlAPI", system, arguments, logging],
            swiftSettings: strict, linkerSettings: [.unsafeFlags(["-use-ld=lld"], .when(configuration: .release))]),
        .executableTarget(
            name: "ucopyctl",
            dependencies: ["Targets", "KCopy", "BlockIO", "CLinux", "ControlAPI", "Varlink", system, arguments],
            swiftSettings: strict,
            // A program for one short job: linked dynamically it would spend half of its time in the dynamic linker.
            linkerSettings: [
                .unsafeFlags(
                    ["-static-executable", "-use-ld=lld", "-Xlinker", "-s"], .when(configuration: .release))
            ]),
        .target(name: "CKCopyd"),
        .target(
            name: "KCopyd", dependencies: ["CKCopyd", "KCopy", "BlockIO", "CLinux", "ControlAPI", "Varlink", system],
            exclude: ["exports.map"], swiftSettings: strict,
            linkerSettings: [
                .unsafeFlags([
                    "-static-stdlib", "-use-ld=lld",
                    "-Xlinker", "-soname=libkcopyd.so.0",
                    // The lanes' threads run until the process ends: dlclose must not take their code away.
                    "-Xlinker", "-z", "-Xlinker", "nodelete",
                    // Foundation's own parts, which only --static-swift-stdlib would name; what is still missing then
                    // is an error here rather than in somebody's program.
                    "-l_FoundationCollections", "-l_FoundationCShims", "-Xlinker", "-z", "-Xlinker", "defs",
                    "-Xlinker", "--version-script=Sources/KCopyd/exports.map",
                ])
            ]),

        // What several test targets need: temporary directories, loop devices, programs, bytes.
        .target(
            name: "TestSupport", dependencies: ["BlockIO", system], path: "Tests/TestSupport", swiftSettings: strict),
        .testTarget(
            name: "BlockIOTests", dependencies: ["BlockIO", "CLinux", "TestSupport", system], swiftSettings: strict),
        .testTarget(
            name: "KCopyTests", dependencies: ["KCopy", "BlockIO", "TestSupport", system], swiftSettings: strict),
        .testTarget(
            name: "TargetsTests", dependencies: ["Targets", "KCopy", "BlockIO", "TestSupport", system],
            swiftSettings: strict),
        .testTarget(
            name: "BlockServersTests", dependencies: ["BlockServers", "BlockIO", "UnixSockets", "TestSupport", system],
            exclude: ["Programs"], swiftSettings: strict),
        .testTarget(
            name: "VarlinkTests", dependencies: ["Varlink", "UnixSockets", "TestSupport", system], swiftSettings: strict
        ),
        .testTarget(
            name: "DaemonTests",
            dependencies: ["Daemon", "ControlAPI", "Varlink", "KCopy", "BlockIO", "TestSupport", system, logging],
            swiftSettings: strict),
        .testTarget(
            name: "CommandLineTests",
            dependencies: ["ucopyctl", "Targets", "BlockIO", "ControlAPI", "KCopy", "TestSupport", system],
            swiftSettings: strict),
        // Tests of the C library compile and run C programs against the built product; they link nothing of it.
        .testTarget(name: "KCopydTests", dependencies: ["TestSupport"], exclude: ["Programs"], swiftSettings: strict),
    ],
    swiftLanguageModes: [.v6]
)
