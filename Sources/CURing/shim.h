// liburing.h sets feature macros of its own: <features.h> has to come first, or the module
// disagrees with Glibc about them.
#include <features.h>
#include <liburing.h>
