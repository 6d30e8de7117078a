// What Swift cannot import: kernel constants too new for the distribution's headers, and variadic or macro calls.
#ifndef CLINUX_H
#define CLINUX_H

#include <features.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "CLinuxSocket.h"

/// open(2)'s O_DIRECT: a macro that names another macro, which Swift does not import.
extern const int32_t clinux_o_direct;
/// open(2)'s O_PATH: a macro behind a feature test.
extern const int32_t clinux_o_path;
/// fallocate(2)'s FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE: macros behind a feature test.
extern const int32_t clinux_falloc_punch;
/// lseek(2)'s SEEK_DATA and SEEK_HOLE: macros behind a feature test.
extern const int32_t clinux_seek_data;
extern const int32_t clinux_seek_hole;

/// pwritev2(2)'s RWF_DSYNC: a macro with a cast.
extern const int32_t clinux_rwf_dsync;
/// pwritev2(2), which the C library declares behind a feature test, with one stretch of memory. Bytes written or a negative
/// errno.
ssize_t clinux_pwrite(int fd, const void *data, size_t length, off_t offset, int flags);

/// The block layer's ioctls (linux/fs.h); their numbers are made by function-like macros. Each
/// returns 0 or a negative errno.
int clinux_blkgetsize64(int fd, uint64_t *bytes);
int clinux_blksszget(int fd, uint32_t *bytes);
int clinux_blkpbszget(int fd, uint32_t *bytes);
int clinux_blkroget(int fd, int *readonly);

/// statx(2) with STATX_DIOALIGN, which struct statx of this C library has no fields for. Returns 0
/// and fills both alignments (0 and 0: the file has no direct I/O), -ENODATA where the kernel does
/// not say, or another negative errno.
int clinux_dioalign(int fd, uint32_t *memory, uint32_t *offset);

/// Whether a descriptor is of a file on FUSE (statfs(2) says FUSE_SUPER_MAGIC); false where that cannot be found out. The
/// C library's module leaves <sys/vfs.h> out.
bool clinux_is_fuse(int fd);
/// Whether a descriptor is of a file on tmpfs or ramfs (statfs(2)); false where that cannot be found out.
bool clinux_is_in_memory(int fd);

/// Asks the processor to fetch a line of memory that will be read soon: a builtin of the compiler. Any address is allowed.
static inline void clinux_prefetch(const void *address) { __builtin_prefetch(address); }

/// major(3) and minor(3), which are macros.
uint32_t clinux_major(dev_t device);
uint32_t clinux_minor(dev_t device);

/// fcntl(2) is variadic. Returns the flags or a negative errno.
int clinux_getfl(int fd);
/// fcntl(2) is variadic. Returns 0 or a negative errno.
int clinux_setfl(int fd, int flags);

/// fcntl(2) is variadic: F_DUPFD_CLOEXEC. Returns the new descriptor or a negative errno.
int clinux_duplicate(int fd);

/// fallocate(2), for C libraries whose header hides it behind a feature test. 0 or a negative errno.
int clinux_fallocate(int fd, int mode, off_t offset, off_t length);

/// Names the calling thread (prctl(2), which is variadic); of longer names the first 15 bytes are taken.
void clinux_name_thread(const char *name);
/// Marks the calling thread as one that carries I/O (PR_SET_IO_FLUSHER): under memory pressure it is not made to wait for what
/// it has to write itself. 0 or a negative errno: EPERM without CAP_SYS_RESOURCE.
int clinux_io_flusher(void);

/// mallopt(3) with M_ARENA_MAX: how many heaps threads share at most. malloc.h is not among the headers that Swift imports.
void clinux_limit_arenas(int count);

#endif
