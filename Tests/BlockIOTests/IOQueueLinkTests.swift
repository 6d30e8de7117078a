import Glibc
import TestSupport
import Testing

@testable import BlockIO

/// A course of events of a linked pair: what the leader is answered, and when and what the follower is.
struct LinkedCourse: Sendable, CustomTestStringConvertible {
    enum Step: Sendable, Equatable {
        case all
        case bytes(Int)
        case error(Int32)
    }

    /// What the leader is answered, one after the other.
    var leader: [Step]
    /// What the follower is answered, one after the other; the first time as part of the chain.
    var follower: [Step]
    /// After how many answers to the leader the follower gets its first one.
    var after: Int
    /// Whether the follower's first answer is in one batch with the leader's before it.
    var together: Bool

    var testDescription: String {
        "leader \(leader), follower \(follower) after \(after)\(together ? " together" : "")"
    }

    /// What the leader has to end with.
    var leaderError: Int32 {
        switch leader.last {
        case .error(let number): number
        case .bytes(0): ENODATA
        default: 0
        }
    }

    /// Every course: a leader that succeeds at once or not, and a follower that the system runs or gives back.
    static let all: [LinkedCourse] = {
        let runs: [[Step]] = [
            [.all], [.bytes(100), .all], [.error(EAGAIN), .all], [.error(ECANCELED), .all],
            [.error(ECANCELED), .error(EINTR), .bytes(5), .all],
        ]
        var courses: [LinkedCourse] = []
        // The leader succeeds at once: the follower is run, or given back although nothing is wrong.
        for follower in runs {
            for together in [true, false] {
                courses.append(.init(leader: [.all], follower: follower, after: 1, together: together))
            }
        }
        // The leader does not: the system gives the follower back, some time.
        let leaders: [[Step]] = [
            [.bytes(512), .all], [.bytes(512), .bytes(512), .all], [.error(EINTR), .all],
            [.error(ECANCELED), .bytes(7), .all],
            [.error(EIO)], [.bytes(512), .error(EIO)], [.bytes(512), .bytes(0)], [.error(EAGAIN), .error(EIO)],
        ]
        for leader in leaders {
            for after in 0...leader.count {
                for follower in runs {
                    for together in [true, false] where after > 0 || !together {
                        courses.append(
                            .init(
                                leader: leader, follower: [.error(ECANCELED)] + follower, after: after,
                                together: together))
                    }
                }
            }
        }
        return courses
    }()
}

@Suite("A linked pair")
struct IOQueueLinkTests {
    private func answer(_ step: LinkedCourse.Step) -> ScriptedEngine.Answer {
        switch step {
        case .all: .all
        case .bytes(let count): .bytes(count)
        case .error(let number): .error(number)
        }
    }

    @Test(
        "writes what was read, once, and only after it was read, in whatever order it is answered",
        arguments: LinkedCourse.all)
    func course(course: LinkedCourse) throws {
        let fixture = try QueueFixture()
        let engine = fixture.engine
        let before = engine.device
        fixture.queue.start(
            fixture.operation(.read, 0, 4096), token: 1, then: fixture.operation(.write, 65536, 4096), token: 2)
        #expect(engine.prepared.map(\.linked) == [true, false])
        #expect(engine.prepared.map(\.operation.kind) == [.read, .write])
        let follower = try #require(engine.take(.write))
        let first = try #require(course.follower.first)
        if course.after == 0 { engine.answer((follower, answer(first))) }
        for (index, step) in course.leader.enumerated() {
            let leader = try #require(engine.take(.read))
            #expect(engine.prepared.isEmpty, "nothing is written before the read has ended")
            if course.after == index + 1, course.together {
                engine.answer((leader, answer(step)), (follower, answer(first)))
            } else {
                engine.answer((leader, answer(step)))
                if course.after == index + 1 { engine.answer((follower, answer(first))) }
            }
        }
        #expect(fixture.client.ends.first == fixture.end(1, course.leaderError))
        if course.leaderError == 0 {
            for step in course.follower.dropFirst() {
                engine.answer((try #require(engine.take(.write)), answer(step)))
            }
        }
        #expect(engine.prepared.isEmpty)
        #expect(fixture.queue.inFlight == 0)
        let followerError = course.leaderError == 0 ? 0 : IOQueue.notStarted
        #expect(fixture.client.ends == [fixture.end(1, course.leaderError), fixture.end(2, followerError)])
        var expected = before
        if course.leaderError == 0 { expected.replaceSubrange(65536..<65536 + 4096, with: before[0..<4096]) }
        #expect(engine.device == expected)
    }

    @Test(
        "is done in full where the kernel could not set its second half up: it cancels the first, and says why of the second",
        arguments: [ENOMEM, EAGAIN, EFAULT], [0, 1, 2])
    func notSetUp(error: Int32, followerAfter: Int) throws {
        let fixture = try QueueFixture()
        let engine = fixture.engine
        fixture.queue.start(
            fixture.operation(.read, 0, 4096), token: 1, then: fixture.operation(.write, 65536, 4096), token: 2)
        let follower = try #require(engine.take(.write))
        if followerAfter == 0 { engine.answer((follower, .error(error))) }
        engine.answer((try #require(engine.take(.read)), .error(ECANCELED)))
        if followerAfter == 1 { engine.answer((follower, .error(error))) }
        #expect(engine.take(.write) == nil, "nothing is written before the read has ended")
        engine.answer((try #require(engine.take(.read)), .all))
        if followerAfter == 2 { engine.answer((follower, .error(EAGAIN))) }
        engine.answer((try #require(engine.take(.write)), .all))
        #expect(fixture.client.ends == [fixture.end(1, 0), fixture.end(2, 0)])
        #expect(engine.device[65536..<65536 + 4096] == engine.device[0..<4096])
    }

    @Test("does not count a write that was answered before the read had ended")
    func writtenTooEarly() throws {
        let fixture = try QueueFixture()
        let engine = fixture.engine
        fixture.queue.start(
            fixture.operation(.read, 0, 4096), token: 1, then: fixture.operation(.write, 65536, 4096), token: 2)
        let (leader, follower) = (try #require(engine.take(.read)), try #require(engine.take(.write)))
        engine.answer((leader, .bytes(512)), (follower, .all))
        #expect(fixture.client.ends == [])
        engine.answer((try #require(engine.take(.read)), .all))
        engine.answer((try #require(engine.take(.write)), .all))
        #expect(fixture.client.ends == [fixture.end(1, 0), fixture.end(2, 0)])
        #expect(engine.device[65536..<65536 + 4096] == engine.device[0..<4096])
    }

    @Test("calls a write not started, whatever the kernel says of it, where the read has failed")
    func notSetUpAndReadFails() throws {
        let fixture = try QueueFixture()
        fixture.queue.start(
            fixture.operation(.read, 0, 4096), token: 1, then: fixture.operation(.write, 65536, 4096), token: 2)
        let leader = try #require(fixture.engine.take(.read))
        let follower = try #require(fixture.engine.take(.write))
        fixture.engine.answer((leader, .error(EIO)), (follower, .error(ENOMEM)))
        #expect(fixture.client.ends == [fixture.end(1, EIO), fixture.end(2, IOQueue.notStarted)])
    }

    @Test("tells the error of a write that failed by itself", arguments: [EIO, ENOSPC])
    func followerFails(error: Int32) throws {
        let fixture = try QueueFixture()
        fixture.queue.start(
            fixture.operation(.read, 0, 4096), token: 1, then: fixture.operation(.write, 65536, 4096), token: 2)
        let leader = try #require(fixture.engine.take(.read))
        let follower = try #require(fixture.engine.take(.write))
        fixture.engine.answer((leader, .all), (follower, .error(error)))
        #expect(fixture.client.ends == [fixture.end(1, 0), fixture.end(2, error)])
    }

    @Test("uses its numbers again without mixing pairs up")
    func manyPairs() throws {
        let fixture = try QueueFixture()
        var numbers = SeededNumbers(3)
        for round in 0..<200 as Range<UInt64> {
            for pair in 0..<3 as Range<UInt64> {
                fixture.queue.start(
                    fixture.operation(.read, 0, 512), token: round << 8 | pair << 1,
                    then: fixture.operation(.write, 4096, 512), token: round << 8 | pair << 1 | 1)
            }
            let leaders = try (0..<3).map { _ in try #require(fixture.engine.take(.read)) }
            let followers = try (0..<3).map { _ in try #require(fixture.engine.take(.write)) }
            for index in [0, 1, 2].shuffled(using: &numbers) {
                if Bool.random(using: &numbers) {
                    fixture.engine.answer((leaders[index], .all), (followers[index], .all))
                } else {
                    fixture.engine.answer((leaders[index], .error(EIO)), (followers[index], .error(ECANCELED)))
                }
            }
            #expect(fixture.queue.inFlight == 0)
        }
        #expect(Set(fixture.client.ends.map(\.token)).count == 1200)
        #expect(fixture.client.ends.count == 1200)
    }
}
