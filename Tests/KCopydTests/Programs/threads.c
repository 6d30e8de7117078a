/* threads SOURCE DESTINATION: eight threads share a client and copy the blocks between them. */
#include "check.h"

#define THREADS 8

static struct kcopyd_client *kc;
static struct block_device *source, *destination;
static sector_t size;

static void *copies(void *argument)
{
	struct tally tally = TALLY;
	sector_t sector = 8 * (sector_t)(uintptr_t)argument;
	int calls = 0;

	for (; sector < size; sector += 8 * THREADS) {
		struct io_region from = region(source, sector, 8), to = region(destination, sector, 8);

		EXPECT(kcopyd_copy(kc, &from, 1, &to, 0, count_call, &tally), 0);
		calls++;
	}
	await_calls(&tally, calls);
	EXPECT(tally.read_errs, 0);
	EXPECT(tally.write_errs, 0);
	return NULL;
}

int main(int argc, char **argv)
{
	pthread_t threads[THREADS];
	int i;

	CHECK(argc == 3);
	kc = create_client(32);
	source = open_device(argv[1], O_RDONLY);
	destination = open_device(argv[2], O_RDWR);
	EXPECT(kcopyd_device_size(source, &size), 0);
	for (i = 0; i < THREADS; i++)
		EXPECT(pthread_create(&threads[i], NULL, copies, (void *)(uintptr_t)i), 0);
	for (i = 0; i < THREADS; i++)
		EXPECT(pthread_join(threads[i], NULL), 0);
	kcopyd_client_destroy(kc);
	return 0;
}
