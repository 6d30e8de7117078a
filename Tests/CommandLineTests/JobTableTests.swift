import ControlAPI
import Testing

@testable import ucopyctl

@Suite("The table of jobs")
struct JobTableTests {
    private func job(_ number: Int, _ destinations: [String], source: String? = "/dev/a") -> CopyInterface.Job {
        CopyInterface.Job(
            job: number, client: 1, name: "ucopyctl", kind: .copy, state: .running, source: source,
            destinations: destinations,
            bytes: 1 << 20, totalBytes: 4 << 20, copiedBytes: 1 << 20, resumeAt: 0, seconds: 2, bytesPerSecond: nil,
            percent: 50,
            readError: false, writeErrors: [false], faults: [])
    }

    @Test("columns are as wide as what is in them, and numbers end flush")
    func columns() {
        #expect(
            JobTable.render([job(7, ["/dev/b"]), job(1234, ["/dev/c", "/dev/d"], source: nil)]) == """
                 JOB  STATE       DONE    TOTAL    %         RATE  LIMIT  SOURCE  DESTINATIONS
                   7  running  1.0 MiB  4.0 MiB  25%  512.0 KiB/s  50%    /dev/a  /dev/b
                1234  running  1.0 MiB  4.0 MiB  25%  512.0 KiB/s  50%    -       /dev/c,/dev/d
                """)
    }

    @Test("without jobs there are the headings")
    func empty() {
        #expect(JobTable.render([]) == "JOB  STATE  DONE  TOTAL  %  RATE  LIMIT  SOURCE  DESTINATIONS")
    }
}
