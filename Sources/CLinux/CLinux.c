#define _GNU_SOURCE
#include "CLinux.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <linux/stat.h>
#include <malloc.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <unistd.h>

const int32_t clinux_o_direct = O_DIRECT;
const int32_t clinux_o_path = O_PATH;
const int32_t clinux_falloc_punch = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
const int32_t clinux_rwf_dsync = RWF_DSYNC;
const int32_t clinux_seek_data = SEEK_DATA;
const int32_t clinux_seek_hole = SEEK_HOLE;

static int result(int r) { return r < 0 ? -errno : r; }

ssize_t clinux_pwrite(int fd, const void *data, size_t length, off_t offset, int flags)
{
    struct iovec vector = { (void *)data, length };
    ssize_t written = pwritev2(fd, &vector, 1, offset, flags);

    return written < 0 ? -errno : written;
}

int clinux_blkgetsize64(int fd, uint64_t *bytes) { return result(ioctl(fd, BLKGETSIZE64, bytes)); }
int clinux_blksszget(int fd, uint32_t *bytes) { return result(ioctl(fd, BLKSSZGET, bytes)); }
int clinux_blkpbszget(int fd, uint32_t *bytes) { return result(ioctl(fd, BLKPBSZGET, bytes)); }
int clinux_blkroget(int fd, int *readonly) { return result(ioctl(fd, BLKROGET, readonly)); }

int clinux_dioalign(int fd, uint32_t *memory, uint32_t *offset)
{
    struct statx st;

    if (syscall(SYS_statx, fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &st) < 0)
        return -errno;
    if (!(st.stx_mask & STATX_DIOALIGN))
        return -ENODATA;
    *memory = st.stx_dio_mem_align;
    *offset = st.stx_dio_offset_align;
    return 0;
}

bool clinux_is_fuse(int fd)
{
    struct statfs st;

    return fstatfs(fd, &st) == 0 && st.f_type == FUSE_SUPER_MAGIC;
}

bool clinux_is_in_memory(int fd)
{
    struct statfs st;

    return fstatfs(fd, &st) == 0 && (st.f_type == TMPFS_MAGIC || st.f_type == RAMFS_MAGIC);
}

uint32_t clinux_major(dev_t device) { return major(device); }
uint32_t clinux_minor(dev_t device) { return minor(device); }
int clinux_getfl(int fd) { return result(fcntl(fd, F_GETFL)); }
int clinux_setfl(int fd, int flags) { return result(fcntl(fd, F_SETFL, flags)); }
int clinux_duplicate(int fd) { return result(fcntl(fd, F_DUPFD_CLOEXEC, 0)); }
int clinux_fallocate(int fd, int mode, off_t offset, off_t length)
{
    return result(fallocate(fd, mode, offset, length));
}

void clinux_limit_arenas(int count) { mallopt(M_ARENA_MAX, count); }

void clinux_name_thread(const char *name) { prctl(PR_SET_NAME, name); }

int clinux_io_flusher(void) { return result(prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0)); }
