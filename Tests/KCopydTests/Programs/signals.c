/*
 * signals SOURCE DESTINATION: the library's threads take no signal that the program has blocked on its own, and the
 * program's dispositions are as it left them.
 */
#define _XOPEN_SOURCE 700
#include "check.h"

#include <signal.h>

static volatile sig_atomic_t taken;

static void take(int number)
{
	(void)number;
	taken = 1;
}

int main(int argc, char **argv)
{
	struct tally tally = TALLY;
	struct sigaction action, found;
	struct kcopyd_client *kc;
	struct io_region from, to;
	sigset_t set;
	int i;

	CHECK(argc == 3);
	memset(&action, 0, sizeof(action));
	action.sa_handler = take;
	EXPECT(sigaction(SIGUSR1, &action, NULL), 0);
	action.sa_handler = SIG_DFL;
	EXPECT(sigaction(SIGPIPE, &action, NULL), 0);

	/* The threads start with everything allowed. */
	kc = create_client(16);
	from = region(open_device(argv[1], O_RDONLY), 0, 8);
	to = region(open_device(argv[2], O_RDWR), 0, 8);
	EXPECT(kcopyd_copy(kc, &from, 1, &to, 0, count_call, &tally), 0);
	await_calls(&tally, 1);

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	EXPECT(pthread_sigmask(SIG_BLOCK, &set, NULL), 0);
	EXPECT(kill(getpid(), SIGUSR1), 0);
	for (i = 0; i < 64; i++)
		EXPECT(kcopyd_copy(kc, &from, 1, &to, 0, count_call, &tally), 0);
	kcopyd_client_destroy(kc);
	EXPECT(tally.calls, 65);
	EXPECT(tally.read_errs, 0);
	EXPECT(taken, 0);
	EXPECT(sigpending(&set), 0);
	EXPECT(sigismember(&set, SIGUSR1), 1);
	EXPECT(sigaction(SIGPIPE, NULL, &found), 0);
	CHECK(found.sa_handler == SIG_DFL);
	return 0;
}
