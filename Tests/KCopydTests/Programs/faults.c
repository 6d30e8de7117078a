/*
 * faults SOURCE GOOD FULL: copies to a good destination and to one whose file system is full; then from a source
 * that has lost its second half since it was opened.
 */
#define _XOPEN_SOURCE 700
#include "check.h"

int main(int argc, char **argv)
{
	struct tally tally = TALLY;
	struct kcopyd_client *kc = create_client(64);
	struct io_region from, dests[2];

	CHECK(argc == 4);
	from = whole(open_device(argv[1], O_RDONLY));
	dests[0] = region(open_device(argv[2], O_RDWR), 0, from.count);
	dests[1] = region(open_device(argv[3], O_RDWR), 0, from.count);
	EXPECT(kcopyd_copy_ex(kc, &from, 2, dests, KCOPYD_IGNORE_ERRORS, count_result, &tally), 0);
	await_calls(&tally, 1);
	EXPECT(tally.last.read_err, 0);
	EXPECT(tally.last.write_err, 2);
	EXPECT(tally.last.cancelled, 0);
	EXPECT(tally.last.error, -ENOSPC);
	CHECK(tally.last.copied < from.count);

	EXPECT(truncate(argv[1], (off_t)(from.count / 2 * 512)), 0);
	EXPECT(kcopyd_copy(kc, &from, 1, dests, 0, count_call, &tally), 0);
	await_calls(&tally, 2);
	EXPECT(tally.read_errs, 1);
	EXPECT(tally.write_errs, 2);
	kcopyd_client_destroy(kc);
	return 0;
}
