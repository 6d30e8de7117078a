/*
 * cancel SOURCE DESTINATION: of copies that are held by the rate, those with one context are cancelled, the others
 * are carried out when the rate is raised. Copies [0, 8) and [8, 16) are cancelled, [16, 24) is done.
 */
#include "check.h"

int main(int argc, char **argv)
{
	struct tally cancelled = TALLY, told = TALLY, done = TALLY;
	struct kcopyd_client *kc = create_client(4);
	struct io_region from, to;

	CHECK(argc == 3);
	from = region(open_device(argv[1], O_RDONLY), 0, 8);
	to = region(open_device(argv[2], O_RDWR), 0, 8);
	EXPECT(kcopyd_client_set_rate(kc, 0, 100), 0);
	EXPECT(kcopyd_copy(kc, &from, 1, &to, 0, count_call, &cancelled), 0);
	from.sector = to.sector = 8;
	EXPECT(kcopyd_copy_ex(kc, &from, 1, &to, 0, count_result, &told), 0);
	from.sector = to.sector = 16;
	EXPECT(kcopyd_copy_ex(kc, &from, 1, &to, 0, count_result, &done), 0);

	EXPECT(kcopyd_cancel(kc, NULL), -ENOENT);
	EXPECT(kcopyd_cancel(kc, &cancelled), 0);
	await_calls(&cancelled, 1);
	EXPECT(cancelled.read_errs, 1);
	EXPECT(cancelled.write_errs, 0);
	EXPECT(kcopyd_cancel(kc, &cancelled), -ENOENT);

	EXPECT(kcopyd_cancel(kc, &told), 0);
	await_calls(&told, 1);
	EXPECT(told.last.cancelled, 1);
	EXPECT(told.last.read_err, 0);
	EXPECT(told.last.write_err, 0);
	EXPECT(told.last.error, 0);
	EXPECT(told.last.copied, 0);
	EXPECT(told.last.resume_at, 0);

	EXPECT(done.calls, 0);
	EXPECT(kcopyd_client_set_rate(kc, KCOPYD_RATE_UNLIMITED, 1000), 0);
	await_calls(&done, 1);
	EXPECT(done.last.cancelled, 0);
	EXPECT(done.last.read_err, 0);
	EXPECT(done.last.copied, 8);
	EXPECT(done.last.resume_at, 8);
	kcopyd_client_destroy(kc);
	return 0;
}
