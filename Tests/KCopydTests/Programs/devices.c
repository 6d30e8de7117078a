/* devices DEVICE BLOCKSIZE SECTORS ODD: opens a device in all ways; ODD is a file that ends inside a sector. */
#define _GNU_SOURCE
#include "check.h"

int main(int argc, char **argv)
{
	struct block_device *bdev = NULL, *other = NULL;
	unsigned int bytes = 0;
	sector_t sectors = 0;
	int fd;

	CHECK(argc == 5);
	EXPECT(kcopyd_device_open(NULL, O_RDONLY, &bdev), -EINVAL);
	EXPECT(kcopyd_device_open(argv[1], O_RDONLY, NULL), -EINVAL);
	EXPECT(kcopyd_device_open("", O_RDONLY, &bdev), -ENOENT);
	EXPECT(kcopyd_device_open("/nowhere", O_RDONLY, &bdev), -ENOENT);
	EXPECT(kcopyd_device_open("/dev/null", O_RDONLY, &bdev), -ENOTBLK);
	EXPECT(kcopyd_device_open("/dev", O_RDONLY, &bdev), -ENOTBLK);
	EXPECT(kcopyd_device_open(argv[4], O_RDONLY, &bdev), -EINVAL);
	EXPECT(kcopyd_device_open(argv[1], O_ACCMODE, &bdev), -EINVAL);
	EXPECT(kcopyd_device_open(argv[1], O_RDWR | O_CREAT, &bdev), -EINVAL);
	EXPECT(kcopyd_device_open(argv[1], O_RDWR | O_TRUNC, &bdev), -EINVAL);
	EXPECT(kcopyd_device_open(argv[1], O_RDWR | O_APPEND, &bdev), -EINVAL);
	EXPECT(kcopyd_device_open(argv[1], -1, &bdev), -EINVAL);
	EXPECT(kcopyd_device_from_fd(-1, &bdev), -EBADF);
	EXPECT(kcopyd_device_from_fd(12345, &bdev), -EBADF);
	EXPECT(kcopyd_device_from_fd(0, NULL), -EINVAL);
	CHECK(!bdev);

	bdev = open_device(argv[1], O_RDWR | O_EXCL | O_CLOEXEC | O_DIRECT);
	EXPECT(kcopyd_device_open(argv[1], O_RDWR | O_EXCL, &other), -EBUSY);
	EXPECT(kcopyd_device_size(bdev, &sectors), 0);
	EXPECT(sectors, atoll(argv[3]));
	EXPECT(kcopyd_device_block_size(bdev, &bytes), 0);
	EXPECT(bytes, atoi(argv[2]));
	EXPECT(kcopyd_device_size(bdev, NULL), -EINVAL);
	EXPECT(kcopyd_device_size(NULL, &sectors), -EINVAL);
	EXPECT(kcopyd_device_block_size(bdev, NULL), -EINVAL);
	EXPECT(kcopyd_device_block_size(NULL, &bytes), -EINVAL);
	kcopyd_device_close(bdev);

	/* The claim ended with the close. */
	bdev = open_device(argv[1], O_RDWR | O_EXCL);
	kcopyd_device_close(bdev);

	fd = open(argv[1], O_RDONLY);
	CHECK(fd >= 0);
	EXPECT(kcopyd_device_from_fd(fd, &bdev), 0);
	EXPECT(close(fd), 0);
	EXPECT(kcopyd_device_size(bdev, &sectors), 0);
	EXPECT(sectors, atoll(argv[3]));
	kcopyd_device_close(bdev);
	return 0;
}
