import BlockIO
import Dispatch
import KCopy
import SystemPackage

let a = CommandLine.arguments
let service = try CopyService(engine: EngineChoice(rawValue: a[1]) ?? .auto, lanes: 1)
let client = try CopyClient(service: service, pages: 2048)
let source = try BlockDevice.open(FilePath(a[2]), access: .readOnly, claim: false)
var dests: [IORegion] = []
for p in a[3...] { dests.append(IORegion(try BlockDevice.open(FilePath(p), access: .readWrite, claim: true), sector: 0, count: source.sectors)) }
let sem = DispatchSemaphore(value: 0)
let t = DispatchTime.now().uptimeNanoseconds
try client.copy(from: IORegion(whole: source), to: dests, flags: []) { r in print(r); sem.signal() }
sem.wait()
print(Double(DispatchTime.now().uptimeNanoseconds - t) / 1e9, service.engineName)
client.destroy()
