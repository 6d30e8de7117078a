/*
 * loss SOURCE DESTINATION PID: a client of the daemon PID, which is killed while a copy is held: the copy ends with
 * every error bit, later calls are refused, and nothing hangs.
 */
#define _XOPEN_SOURCE 700
#include "check.h"

#include <signal.h>

int main(int argc, char **argv)
{
	struct tally tally = TALLY;
	struct kcopyd_client *kc = create_client(4);
	struct io_region from, dests[2];

	CHECK(argc == 4);
	from = region(open_device(argv[1], O_RDONLY), 0, 8);
	dests[0] = region(open_device(argv[2], O_RDWR | O_EXCL), 0, 8);
	dests[1] = region(dests[0].bdev, 8, 8);
	/* Whatever the test's own parent does about it: writing to nobody must not end the program. */
	CHECK(signal(SIGPIPE, SIG_DFL) != SIG_ERR);
	EXPECT(kcopyd_client_set_rate(kc, 0, 100), 0);
	EXPECT(kcopyd_copy_ex(kc, &from, 2, dests, 0, count_result, &tally), 0);
	EXPECT(kill((pid_t)atoi(argv[3]), SIGKILL), 0);
	await_calls(&tally, 1);
	EXPECT(tally.last.read_err, 1);
	EXPECT(tally.last.write_err, 3);
	EXPECT(tally.last.error, -ENOTCONN);
	EXPECT(kcopyd_copy(kc, &from, 1, dests, 0, count_call, &tally), -ENOTCONN);
	EXPECT(kcopyd_client_set_rate(kc, 1, 100), -ENOTCONN);
	EXPECT(kcopyd_cancel(kc, &tally), -ENOENT);
	kcopyd_device_close(from.bdev);
	kcopyd_device_close(dests[0].bdev);
	kcopyd_client_destroy(kc);
	EXPECT(tally.calls, 1);
	return 0;
}
