/*
 * chain SOURCE DESTINATION: copies block after block, each started by the callback of the one before; the last
 * callback closes the destination. Callbacks never overlap.
 */
#include "check.h"

static struct tally tally = TALLY;
static struct kcopyd_client *kc;
static struct io_region from, to;
static sector_t size;
static int running;

static void step(int read_err, unsigned int write_err, void *context)
{
	EXPECT(__sync_fetch_and_add(&running, 1), 0);
	EXPECT(read_err, 0);
	EXPECT(write_err, 0);
	CHECK(context == &running);
	from.sector += 8;
	to.sector += 8;
	if (from.sector < size)
		EXPECT(kcopyd_copy(kc, &from, 1, &to, 0, step, context), 0);
	else
		kcopyd_device_close(to.bdev);
	__sync_fetch_and_sub(&running, 1);
	count_call(read_err, write_err, &tally);
}

int main(int argc, char **argv)
{
	CHECK(argc == 3);
	kc = create_client(1);
	from = region(open_device(argv[1], O_RDONLY), 0, 8);
	to = region(open_device(argv[2], O_RDWR | O_EXCL), 0, 8);
	EXPECT(kcopyd_device_size(from.bdev, &size), 0);
	EXPECT(kcopyd_copy(kc, &from, 1, &to, 0, step, &running), 0);
	await_calls(&tally, (int)(size / 8));
	EXPECT(kcopyd_zero(kc, 1, &to, 0, step, &running), -EBADF);
	kcopyd_client_destroy(kc);
	EXPECT(tally.calls, (int)(size / 8));
	return 0;
}
