/* copy PAGES FLAGS SOURCE DESTINATION...: copies the whole source. */
#include "check.h"

int main(int argc, char **argv)
{
	struct tally tally = TALLY;
	struct io_region from, dests[KCOPYD_MAX_REGIONS];
	struct kcopyd_client *kc;
	unsigned int i, num_dests = (unsigned int)argc - 4;

	CHECK(argc > 4 && num_dests <= KCOPYD_MAX_REGIONS);
	from = whole(open_device(argv[3], O_RDONLY));
	for (i = 0; i < num_dests; i++)
		dests[i] = region(open_device(argv[4 + i], O_RDWR | O_EXCL), 0, from.count);
	kc = create_client((unsigned int)atoi(argv[1]));
	EXPECT(kcopyd_copy(kc, &from, num_dests, dests, (unsigned int)strtoul(argv[2], NULL, 0), count_call,
			   &tally), 0);
	/* The call has taken the regions: what happens to them now makes no difference. */
	memset(&from, 0xff, sizeof(from));
	memset(dests, 0xff, sizeof(dests));
	kcopyd_client_destroy(kc);
	EXPECT(tally.calls, 1);
	EXPECT(tally.read_errs, 0);
	EXPECT(tally.write_errs, 0);
	return 0;
}
