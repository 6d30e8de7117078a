/* forked SOURCE DESTINATION: a child of fork() is refused and harms nothing; the parent goes on. */
#define _XOPEN_SOURCE 700
#include "check.h"

#include <sys/wait.h>

int main(int argc, char **argv)
{
	struct tally tally = TALLY;
	struct kcopyd_client *kc = create_client(4), *other;
	struct block_device *bdev;
	struct io_region from, to;
	sector_t size;
	pid_t child;
	int status;

	CHECK(argc == 3);
	from = whole(open_device(argv[1], O_RDONLY));
	to = region(open_device(argv[2], O_RDWR), 0, from.count);
	child = fork();
	CHECK(child >= 0);
	if (child == 0) {
		EXPECT(kcopyd_copy(kc, &from, 1, &to, 0, count_call, &tally), -EBADF);
		EXPECT(kcopyd_device_size(from.bdev, &size), -EBADF);
		EXPECT(kcopyd_device_open(argv[1], O_RDONLY, &bdev), -EBADF);
		EXPECT(kcopyd_client_create(1, &other), -EBADF);
		kcopyd_client_destroy(kc);
		kcopyd_device_close(from.bdev);
		_exit(0);
	}
	EXPECT(waitpid(child, &status, 0), child);
	EXPECT(status, 0);
	EXPECT(kcopyd_copy(kc, &from, 1, &to, 0, count_call, &tally), 0);
	kcopyd_client_destroy(kc);
	EXPECT(tally.calls, 1);
	EXPECT(tally.read_errs, 0);
	return 0;
}
