// Unix socket calls that need the CMSG_* macros or `struct ucred`, neither of which Swift imports.
#ifndef CLINUX_SOCKET_H
#define CLINUX_SOCKET_H

#include <stddef.h>
#include <sys/types.h>

// Descriptors that one received piece can carry before the kernel reports truncation.
#define CLINUX_MAX_DESCRIPTORS 32

// What arrived beside the bytes of one `clinux_receive`.
struct clinux_received {
    int descriptors[CLINUX_MAX_DESCRIPTORS];
    unsigned int count;
    // Not zero when descriptors were lost; those in `descriptors` are still the caller's to close.
    int truncated;
};

// recvmsg(2), descriptors being close-on-exec. Returns bytes or -1 with errno. (Shim: CMSG macros.)
ssize_t clinux_receive(int socket, void *bytes, size_t length, int flags, struct clinux_received *received);

// sendmsg(2) without SIGPIPE, `descriptors` riding on the first byte. Returns bytes or -1 with errno. (Shim: CMSG macros.)
ssize_t clinux_send(int socket, const void *bytes, size_t length, const int *descriptors, unsigned int count);

// SO_PEERCRED. Returns 0 or -1 with errno. (Shim: struct ucred needs _GNU_SOURCE.)
int clinux_peer_credentials(int socket, pid_t *pid, uid_t *uid, gid_t *gid);

// accept4(2) with SOCK_NONBLOCK and SOCK_CLOEXEC. (Shim: accept4 needs _GNU_SOURCE.)
int clinux_accept(int socket);

#endif
