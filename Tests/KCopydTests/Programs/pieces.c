/*
 * pieces SOURCE DESTINATION: puts the source's 4 KiB blocks into the destination in reverse order, in as many
 * copies, then zeroes the first of them.
 */
#include "check.h"

int main(int argc, char **argv)
{
	struct tally tally = TALLY;
	struct kcopyd_client *kc = create_client(16);
	struct block_device *source, *destination;
	struct io_region from, to;
	sector_t sector, size;
	int calls = 0;

	CHECK(argc == 3);
	source = open_device(argv[1], O_RDONLY);
	destination = open_device(argv[2], O_WRONLY);
	EXPECT(kcopyd_device_size(source, &size), 0);
	for (sector = 0; sector < size; sector += 8) {
		from = region(source, sector, 8);
		to = region(destination, size - 8 - sector, 8);
		EXPECT(kcopyd_copy(kc, &from, 1, &to, 0, count_call, &tally), 0);
		calls++;
	}
	await_calls(&tally, calls);
	to = region(destination, 0, 8);
	EXPECT(kcopyd_zero(kc, 1, &to, KCOPYD_FLUSH, count_call, &tally), 0);
	await_calls(&tally, calls + 1);

	/* Nothing to do is done without errors. */
	from = region(source, 0, 0);
	to = region(destination, 0, 0);
	EXPECT(kcopyd_copy_ex(kc, &from, 1, &to, 0, count_result, &tally), 0);
	EXPECT(kcopyd_zero_ex(kc, 1, &to, 0, count_result, &tally), 0);
	await_calls(&tally, calls + 3);
	EXPECT(tally.last.copied, 0);
	EXPECT(tally.read_errs, 0);
	EXPECT(tally.write_errs, 0);
	EXPECT(tally.last.cancelled, 0);
	kcopyd_client_destroy(kc);
	kcopyd_device_close(source);
	kcopyd_device_close(destination);
	return 0;
}
