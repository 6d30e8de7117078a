/*
 * destroy SOURCE DESTINATION: a callback destroys its own client while others of its copies are under way: it goes
 * on at once, every callback still comes, and the handle is dead from then on. Then a client is destroyed by
 * another's callback, and one is destroyed right after its copies were started.
 */
#include "check.h"

#define COPIES 64

static struct tally tally = TALLY;
static struct kcopyd_client *kc;
static struct io_region from, to;

static void destroys(int read_err, unsigned int write_err, void *context)
{
	struct kcopyd_client *victim = *(struct kcopyd_client **)context;

	kcopyd_client_destroy(victim);
	EXPECT(kcopyd_copy(victim, &from, 1, &to, 0, count_call, &tally), -EBADF);
	EXPECT(kcopyd_cancel(victim, &tally), -EBADF);
	count_call(read_err, write_err, &tally);
}

static void start(int number, struct kcopyd_client *client)
{
	for (; number > 0; number--) {
		EXPECT(kcopyd_copy(client, &from, 1, &to, 0, count_call, &tally), 0);
		from.sector = to.sector += 8;
	}
}

int main(int argc, char **argv)
{
	struct kcopyd_client *other;

	CHECK(argc == 3);
	from = region(open_device(argv[1], O_RDONLY), 0, 8);
	to = region(open_device(argv[2], O_RDWR), 0, 8);

	kc = create_client(2);
	EXPECT(kcopyd_client_set_rate(kc, 0, 100), 0); /* nothing ends before all are started */
	EXPECT(kcopyd_copy(kc, &from, 1, &to, 0, destroys, &kc), 0);
	from.sector = to.sector += 8;
	start(COPIES, kc);
	EXPECT(kcopyd_client_set_rate(kc, KCOPYD_RATE_UNLIMITED, 100), 0);
	await_calls(&tally, COPIES + 1);

	kc = create_client(2);
	other = create_client(2);
	start(COPIES, kc);
	EXPECT(kcopyd_copy(other, &from, 1, &to, 0, destroys, &kc), 0);
	from.sector = to.sector += 8;
	await_calls(&tally, 2 * (COPIES + 1));
	kcopyd_client_destroy(other);

	kc = create_client(2);
	start(COPIES, kc);
	kcopyd_client_destroy(kc);
	EXPECT(tally.calls, 3 * COPIES + 2);
	EXPECT(tally.read_errs, 0);
	EXPECT(tally.write_errs, 0);
	return 0;
}
