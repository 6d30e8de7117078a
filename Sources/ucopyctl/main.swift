import CLinux
import Glibc

// A heap for every thread takes longer to set up than a short job takes to run.
clinux_limit_arenas(1)
exit(Program.run(Array(CommandLine.arguments.dropFirst())))
