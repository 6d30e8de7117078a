/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kcopyd.h: copies ranges of sectors from one block device to others.
 *
 * The three classic calls are those of the kernel's kcopyd, with their signatures unchanged: create a
 * client with a budget of pages, start copies that report to a callback, destroy the client. The rest of
 * the family opens devices, zeroes, cancels, sets the pace, and lets the daemon ucopyd do the work.
 *
 * Every function that returns an int returns 0 or a negative error number; after an error nothing was
 * started or changed. Handles are never dereferenced: a null handle is refused with -EINVAL, one that
 * was closed, destroyed or never handed out with -EBADF. See kcopyd(3).
 *
 * Usable from C99 and from C++; all functions may be called from any thread.
 */
#ifndef KCOPYD_H
#define KCOPYD_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The version that this header belongs to; kcopyd_version() tells the one of the library. */
#define KCOPYD_VERSION "0.1.0"

/* The most destinations of one copy. */
#define KCOPYD_MAX_REGIONS 8

/* How a copy is done: a mask, for the parameter flags. Unknown bits are refused. */
/* Goes on after errors. A piece that could not be read is not written. */
#define KCOPYD_IGNORE_ERRORS 0x002u
/* Writes strictly in ascending order and stops at the first error, even with KCOPYD_IGNORE_ERRORS. */
#define KCOPYD_SEQUENTIAL 0x004u
/* Does not read what the source says is a hole; the destinations get zeroes there. */
#define KCOPYD_SKIP_HOLES 0x100u
/* Zeroes the destinations, rather than writing, where zeroes were read. */
#define KCOPYD_DETECT_ZEROES 0x200u
/* Reads every destination back and compares; a difference is a write error. */
#define KCOPYD_VERIFY 0x400u
/* Flushes every destination before the callback: what it reports is on the medium. */
#define KCOPYD_FLUSH 0x800u

/* No limit, for kcopyd_client_set_rate(). */
#define KCOPYD_RATE_UNLIMITED UINT64_MAX

/* A position or length in sectors; a sector is 512 bytes whatever the device's block size. */
typedef uint64_t sector_t;

/* A device that was opened with one of the calls below. */
struct block_device;

/* A client: a budget of pages, and the copies that run within it. */
struct kcopyd_client;

/* A range of sectors of a device. */
struct io_region {
	struct block_device *bdev;
	sector_t sector;
	sector_t count;
};

/* How a copy ended. Later versions may add members at the end. */
struct kcopyd_result {
	int read_err;           /* 1 if any read failed, else 0 */
	unsigned int write_err; /* bit i is set if destination i had an error */
	int cancelled;          /* 1 if the copy was cancelled before it was complete, else 0 */
	int error;              /* negative error number of the first fault, 0 if there was none */
	sector_t copied;        /* sectors that reached every destination without an error */
	sector_t resume_at;     /* everything before this sector of the region did: where to go on */
};

/*
 * Called once for every copy that was started: one call at a time for each client, in the order in which
 * its copies end, never within the call that started the copy. May call everything declared here.
 * A cancelled copy has read_err 1 here, so that it never looks like a complete one.
 */
typedef void (*kcopyd_notify_fn)(int read_err, unsigned int write_err, void *context);

/* The same with everything there is to know; the result is valid until the function returns. */
typedef void (*kcopyd_result_fn)(const struct kcopyd_result *result, void *context);

/*
 * Devices
 */

/*
 * Opens a block device or an image file. The flags are those of open(2): an access mode, O_EXCL to claim
 * the device (a block device that is mounted or held is refused with -EBUSY; an image file is locked),
 * and O_CLOEXEC and O_DIRECT, which are implied; others are refused with -EINVAL.
 * Errors are those of open(2); -ENOTBLK: neither a block device nor a regular file; -EINVAL: also for an
 * image file that ends inside a sector.
 */
int kcopyd_device_open(const char *path, int flags, struct block_device **result);

/*
 * The same for a descriptor, which stays the caller's and may be closed at once. What the descriptor
 * allows is what may be done; nothing is claimed.
 */
int kcopyd_device_from_fd(int fd, struct block_device **result);

/*
 * Closes a device. Copies under way go on; the device is released when the last of them has ended.
 * Does nothing with a null, closed or unknown handle.
 */
void kcopyd_device_close(struct block_device *bdev);

/* The size of a device in sectors. */
int kcopyd_device_size(struct block_device *bdev, sector_t *sectors);

/* The logical block size of a device in bytes: what regions have to be multiples of. */
int kcopyd_device_block_size(struct block_device *bdev, unsigned int *bytes);

/*
 * Clients
 */

/*
 * Creates a client that works in this process, and sets num_pages pages of 4 KiB aside for it. More is
 * never used; one page is enough for any copy between devices with blocks of at most 4 KiB.
 * -EINVAL: 0 pages, or more than 1 GiB of them. -ENOMEM: no memory.
 */
int kcopyd_client_create(unsigned int num_pages, struct kcopyd_client **result);

/*
 * Creates a client that works in the daemon listening on socket_path; NULL is the usual place. Its budget
 * is the daemon's memory; all other calls are the same. If the daemon goes away, the copies under way
 * end with read_err 1 and the bits of all their destinations set, and new ones fail with -ENOTCONN.
 * Errors are those of connect(2), and those of kcopyd_client_create(). -EDQUOT: over the daemon's limits.
 */
int kcopyd_client_connect(const char *socket_path, unsigned int num_pages, struct kcopyd_client **result);

/*
 * Waits for the client's copies and their callbacks, and gives the pages back. In a callback of the same
 * client it returns at once, and the rest happens later: the callbacks of the copies that are still under
 * way are yet to come. Does nothing with a null, destroyed or unknown handle.
 */
void kcopyd_client_destroy(struct kcopyd_client *kc);

/*
 * Limits the client, at any time, to so many bytes in a second and to a percentage of the time. Both hold.
 * KCOPYD_RATE_UNLIMITED bytes, and 100 or more percent, are no limits; 0 holds the copies until the limit
 * is raised.
 */
int kcopyd_client_set_rate(struct kcopyd_client *kc, uint64_t bytes_per_second, unsigned int percent);

/*
 * Copies
 */

/*
 * Starts a copy from one region to 1 to 8 others of the same length. The regions are read before the call
 * returns and need not be kept. A length of 0 sectors succeeds without I/O.
 * -EINVAL: a null argument (the context may be null), an unknown flag, a wrong number of destinations,
 * different lengths, a region that is not a multiple of its device's blocks, ends behind its device, or
 * overlaps another that is written. -EBADF: a handle is not open. -EPERM: a device is not open for
 * reading or writing, as the copy needs it. -ENOTCONN: the daemon has gone.
 */
int kcopyd_copy(struct kcopyd_client *kc, struct io_region *from,
		unsigned int num_dests, struct io_region *dests,
		unsigned int flags, kcopyd_notify_fn fn, void *context);

/* The same with a callback that is told more. */
int kcopyd_copy_ex(struct kcopyd_client *kc, struct io_region *from,
		   unsigned int num_dests, struct io_region *dests,
		   unsigned int flags, kcopyd_result_fn fn, void *context);

/* Starts writing zeroes to 1 to 8 regions of the same length. Errors as in kcopyd_copy(). */
int kcopyd_zero(struct kcopyd_client *kc, unsigned int num_dests, struct io_region *dests,
		unsigned int flags, kcopyd_notify_fn fn, void *context);

/* The same with a callback that is told more. */
int kcopyd_zero_ex(struct kcopyd_client *kc, unsigned int num_dests, struct io_region *dests,
		   unsigned int flags, kcopyd_result_fn fn, void *context);

/*
 * Cancels the copies that were started with this context and have not ended. They start no more I/O;
 * their callbacks still come. -ENOENT: there is no such copy.
 */
int kcopyd_cancel(struct kcopyd_client *kc, void *context);

/* The version of the library, for example "0.1.0". */
const char *kcopyd_version(void);

#ifdef __cplusplus
}
#endif

#endif /* KCOPYD_H */
