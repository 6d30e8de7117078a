/*
 * reclaim SOURCE DESTINATION: a closed device is free at once: it can be claimed anew as soon as its copy has called
 * back and it was closed, while the client lives.
 */
#include "check.h"

int main(int argc, char **argv)
{
	struct tally tally = TALLY;
	struct kcopyd_client *kc = create_client(4);
	struct io_region from, to;
	int i;

	CHECK(argc == 3);
	from = whole(open_device(argv[1], O_RDONLY));
	for (i = 0; i < 50; i++) {
		to = region(open_device(argv[2], O_RDWR | O_EXCL), 0, from.count);
		EXPECT(kcopyd_copy(kc, &from, 1, &to, 0, count_call, &tally), 0);
		await_calls(&tally, i + 1);
		kcopyd_device_close(to.bdev);
	}
	EXPECT(tally.read_errs, 0);
	EXPECT(tally.write_errs, 0);
	kcopyd_client_destroy(kc);
	return 0;
}
