/* refusals SOURCE DESTINATION OTHER: everything that has to be refused; none of it may touch the destination. */
#include "check.h"

static struct tally tally = TALLY;
static struct kcopyd_client *kc;
static unsigned int block;

static void refuses_copies(struct block_device *source, struct block_device *destination)
{
	struct io_region from = region(source, 0, 8), to = region(destination, 0, 8);
	struct io_region many[9];
	int i;

	EXPECT(kcopyd_copy(NULL, &from, 1, &to, 0, count_call, &tally), -EINVAL);
	EXPECT(kcopyd_copy(kc, NULL, 1, &to, 0, count_call, &tally), -EINVAL);
	EXPECT(kcopyd_copy(kc, &from, 1, NULL, 0, count_call, &tally), -EINVAL);
	EXPECT(kcopyd_copy(kc, &from, 1, &to, 0, NULL, &tally), -EINVAL);
	EXPECT(kcopyd_copy_ex(kc, &from, 1, &to, 0, NULL, &tally), -EINVAL);
	EXPECT(kcopyd_zero(kc, 1, &to, 0, NULL, &tally), -EINVAL);
	EXPECT(kcopyd_zero_ex(kc, 1, NULL, 0, count_result, &tally), -EINVAL);

	for (i = 0; i < 9; i++)
		many[i] = region(destination, 8 * (sector_t)i, 8);
	EXPECT(kcopyd_copy(kc, &from, 0, many, 0, count_call, &tally), -EINVAL);
	EXPECT(kcopyd_copy(kc, &from, 9, many, 0, count_call, &tally), -EINVAL);
	EXPECT(kcopyd_zero(kc, 0, many, 0, count_call, &tally), -EINVAL);
	EXPECT(kcopyd_zero(kc, 9, many, 0, count_call, &tally), -EINVAL);
	/* The number is looked at before the regions: these do not exist. */
	EXPECT(kcopyd_copy(kc, &from, 0, (struct io_region *)8, 0, count_call, &tally), -EINVAL);
	EXPECT(kcopyd_copy(kc, &from, 9, (struct io_region *)8, 0, count_call, &tally), -EINVAL);
	EXPECT(kcopyd_copy(kc, &from, ~0u, (struct io_region *)8, 0, count_call, &tally), -EINVAL);

	for (i = 0; i < 32; i++) {
		unsigned int flag = 1u << i;

		if (flag & (KCOPYD_IGNORE_ERRORS | KCOPYD_SEQUENTIAL | KCOPYD_SKIP_HOLES | KCOPYD_DETECT_ZEROES |
			    KCOPYD_VERIFY | KCOPYD_FLUSH))
			continue;
		EXPECT(kcopyd_copy(kc, &from, 1, &to, flag, count_call, &tally), -EINVAL);
		EXPECT(kcopyd_zero(kc, 1, &to, flag, count_call, &tally), -EINVAL);
	}
}

static void refuses_regions(struct block_device *source, struct block_device *destination)
{
	struct io_region from = region(source, 0, 8), to = region(destination, 0, 8), two[2];
	sector_t size;

	EXPECT(kcopyd_device_size(destination, &size), 0);
	to.count = 16;
	EXPECT(kcopyd_copy(kc, &from, 1, &to, 0, count_call, &tally), -EINVAL);
	to = region(destination, size, 8);
	EXPECT(kcopyd_copy(kc, &from, 1, &to, 0, count_call, &tally), -EINVAL);
	to = region(destination, UINT64_MAX - 7, 8);
	EXPECT(kcopyd_copy(kc, &from, 1, &to, 0, count_call, &tally), -EINVAL);
	to = region(destination, 0, UINT64_MAX);
	from.count = UINT64_MAX;
	EXPECT(kcopyd_copy(kc, &from, 1, &to, 0, count_call, &tally), -EINVAL);
	EXPECT(kcopyd_zero(kc, 1, &to, 0, count_call, &tally), -EINVAL);
	from.count = 8;

	two[0] = region(destination, 0, 8);
	two[1] = region(destination, 0, 8);
	EXPECT(kcopyd_copy(kc, &from, 2, two, 0, count_call, &tally), -EINVAL);
	EXPECT(kcopyd_zero(kc, 2, two, 0, count_call, &tally), -EINVAL);
	from = region(destination, 0, 16);
	to = region(destination, 8, 16);
	EXPECT(kcopyd_copy(kc, &from, 1, &to, 0, count_call, &tally), -EINVAL);

	EXPECT(kcopyd_device_block_size(destination, &block), 0);
	if (block > 512) {
		from = region(source, 0, block / 512);
		to = region(destination, 1, block / 512);
		EXPECT(kcopyd_copy(kc, &from, 1, &to, 0, count_call, &tally), -EINVAL);
		from = region(source, 0, 1);
		to = region(destination, 0, 1);
		EXPECT(kcopyd_copy(kc, &from, 1, &to, 0, count_call, &tally), -EINVAL);
	}
}

static void refuses_devices(struct block_device *source, struct block_device *destination, const char *path)
{
	struct io_region from = region(source, 0, 8), to = region(destination, 0, 8);
	struct block_device *read_only = open_device(path, O_RDONLY), *write_only = open_device(path, O_WRONLY);
	struct block_device *closed = open_device(path, O_RDWR), *garbage[4];
	sector_t size;
	int i;

	kcopyd_device_close(closed);
	kcopyd_device_close(closed);
	garbage[0] = closed;
	garbage[1] = (struct block_device *)(void *)&tally;
	garbage[2] = (struct block_device *)(void *)kc;
	garbage[3] = (struct block_device *)(uintptr_t)-8;
	for (i = 0; i < 4; i++) {
		to.bdev = garbage[i];
		EXPECT(kcopyd_copy(kc, &from, 1, &to, 0, count_call, &tally), -EBADF);
		EXPECT(kcopyd_zero(kc, 1, &to, 0, count_call, &tally), -EBADF);
		to.bdev = destination;
		from.bdev = garbage[i];
		EXPECT(kcopyd_copy(kc, &from, 1, &to, 0, count_call, &tally), -EBADF);
		from.bdev = source;
		EXPECT(kcopyd_device_size(garbage[i], &size), -EBADF);
		EXPECT(kcopyd_device_block_size(garbage[i], &block), -EBADF);
		kcopyd_device_close(garbage[i]);
	}
	to.bdev = NULL;
	EXPECT(kcopyd_copy(kc, &from, 1, &to, 0, count_call, &tally), -EINVAL);
	to.bdev = read_only;
	EXPECT(kcopyd_copy(kc, &from, 1, &to, 0, count_call, &tally), -EPERM);
	EXPECT(kcopyd_zero(kc, 1, &to, 0, count_call, &tally), -EPERM);
	to.bdev = destination;
	from.bdev = write_only;
	EXPECT(kcopyd_copy(kc, &from, 1, &to, 0, count_call, &tally), -EPERM);
	kcopyd_device_close(read_only);
	kcopyd_device_close(write_only);
	kcopyd_device_close(NULL);
}

static void refuses_clients(struct block_device *source, struct block_device *destination)
{
	struct io_region from = region(source, 0, 8), to = region(destination, 0, 8);
	struct kcopyd_client *garbage[3], *other = NULL;
	int i;

	EXPECT(kcopyd_client_create(1, NULL), -EINVAL);
	EXPECT(kcopyd_client_create(0, &other), -EINVAL);
	EXPECT(kcopyd_client_create(~0u, &other), -EINVAL);
	EXPECT(kcopyd_client_connect(NULL, 1, NULL), -EINVAL);
	EXPECT(kcopyd_client_connect("/nowhere/socket", 1, &other), -ENOENT);
	CHECK(!other);

	garbage[0] = create_client(1);
	kcopyd_client_destroy(garbage[0]);
	garbage[1] = (struct kcopyd_client *)(void *)&tally;
	garbage[2] = (struct kcopyd_client *)(void *)source;
	for (i = 0; i < 3; i++) {
		EXPECT(kcopyd_copy(garbage[i], &from, 1, &to, 0, count_call, &tally), -EBADF);
		EXPECT(kcopyd_zero(garbage[i], 1, &to, 0, count_call, &tally), -EBADF);
		EXPECT(kcopyd_cancel(garbage[i], &tally), -EBADF);
		EXPECT(kcopyd_client_set_rate(garbage[i], 1, 1), -EBADF);
		kcopyd_client_destroy(garbage[i]);
	}
	EXPECT(kcopyd_cancel(NULL, &tally), -EINVAL);
	EXPECT(kcopyd_cancel(kc, &tally), -ENOENT);
	EXPECT(kcopyd_client_set_rate(NULL, 1, 1), -EINVAL);
	kcopyd_client_destroy(NULL);
}

int main(int argc, char **argv)
{
	struct block_device *source, *destination;

	CHECK(argc == 4);
	kc = create_client(16);
	source = open_device(argv[1], O_RDONLY);
	destination = open_device(argv[2], O_RDWR);
	refuses_copies(source, destination);
	refuses_regions(source, destination);
	refuses_devices(source, destination, argv[3]);
	refuses_clients(source, destination);
	kcopyd_client_destroy(kc);
	EXPECT(tally.calls, 0);
	return 0;
}
