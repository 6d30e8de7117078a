// liburing.h sets feature macros of its own: <features.h> has to come first, or the module
// disagrees with Glibc about them. It also brings a copy of <linux/io_uring.h>, with the same
// guard; the system's comes first, so that every module that sees the ring's structures sees the same.
#include <features.h>
#include <linux/io_uring.h>
#include <liburing.h>
#include <sys/eventfd.h>
