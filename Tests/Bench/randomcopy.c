/*
 * randomcopy SOURCE DESTINATION JOBS OUTSTANDING BLOCK_SIZE: copies blocks of so many bytes (4 to 64 KiB, a power of two) from
 * random places to random places through libkcopyd, in this process, one client, with that many jobs outstanding. Prints the
 * seconds from the first submission to the last completion. Each completion starts the next job, as a target that serves
 * requests would.
 *
 * No two jobs write the same block, so every block can be compared afterwards, off the clock.
 */
#include <errno.h>
#include <fcntl.h>
#include <kcopyd.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { sector_size = 512, page_size = 4096, most_block_size = 65536 };

static size_t block_size;
static sector_t block_sectors;

struct run {
	struct kcopyd_client *client;
	struct block_device *source, *destination;
	uint32_t *from, *to; /* block numbers, one pair a job */
	unsigned long jobs, started, ended, failed;
	struct timespec end;
	pthread_mutex_t lock; /* over started, ended and failed: the first jobs are submitted beside the callbacks */
	pthread_cond_t done;
};

static void fail(const char *object, const char *operation, int error)
{
	fprintf(stderr, "randomcopy: %s: %s: %s\n", object, operation, strerror(error));
	exit(1);
}

/* xorshift: the same places in every run */
static uint64_t next_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

static void completed(int read_err, unsigned int write_err, void *context);

static void submit(struct run *run, unsigned long job)
{
	struct io_region from = { run->source, (sector_t)run->from[job] * block_sectors, block_sectors };
	struct io_region to = { run->destination, (sector_t)run->to[job] * block_sectors, block_sectors };
	int error = kcopyd_copy(run->client, &from, 1, &to, 0, completed, run);

	if (error)
		fail("job", "kcopyd_copy", -error);
}

static void completed(int read_err, unsigned int write_err, void *context)
{
	struct run *run = context;
	unsigned long job;

	pthread_mutex_lock(&run->lock);
	if (read_err || write_err)
		run->failed++;
	job = run->started;
	if (job < run->jobs)
		run->started++;
	if (++run->ended == run->jobs) {
		clock_gettime(CLOCK_MONOTONIC, &run->end);
		pthread_cond_signal(&run->done);
	}
	pthread_mutex_unlock(&run->lock);
	if (job < run->jobs)
		submit(run, job);
}

static uint64_t blocks_of(struct block_device *device, const char *path)
{
	sector_t sectors;
	int error = kcopyd_device_size(device, &sectors);

	if (error)
		fail(path, "kcopyd_device_size", -error);
	return sectors / block_sectors;
}

static void choose_places(struct run *run, uint64_t sources, uint64_t destinations)
{
	uint64_t state = 0x9e3779b97f4a7c15u;
	uint32_t *all = malloc(destinations * sizeof *all);

	run->from = malloc(run->jobs * sizeof *run->from);
	run->to = malloc(run->jobs * sizeof *run->to);
	if (!all || !run->from || !run->to)
		fail("places", "malloc", ENOMEM);
	for (uint64_t i = 0; i < destinations; i++)
		all[i] = (uint32_t)i;
	for (unsigned long job = 0; job < run->jobs; job++) {
		uint64_t other = job + next_random(&state) % (destinations - job);
		uint32_t block = all[other];

		all[other] = all[job];
		run->to[job] = block;
		run->from[job] = (uint32_t)(next_random(&state) % sources);
	}
	free(all);
}

/* Compares what was copied, through buffered descriptors. */
static void compare(const struct run *run, const char *source, const char *destination)
{
	static char read[most_block_size], written[most_block_size];
	int from = open(source, O_RDONLY | O_CLOEXEC), to = open(destination, O_RDONLY | O_CLOEXEC);

	if (from < 0 || to < 0)
		fail(from < 0 ? source : destination, "open", errno);
	for (unsigned long job = 0; job < run->jobs; job++) {
		if (pread(from, read, block_size, (off_t)(run->from[job] * block_size)) != (ssize_t)block_size ||
		    pread(to, written, block_size, (off_t)(run->to[job] * block_size)) != (ssize_t)block_size)
			fail(source, "pread", errno);
		if (memcmp(read, written, block_size)) {
			fprintf(stderr, "randomcopy: %s: block %u is not block %u of %s\n", destination, run->to[job],
				run->from[job], source);
			exit(1);
		}
	}
	close(from);
	close(to);
}

static struct block_device *open_device(const char *path, int flags)
{
	struct block_device *device;
	int error = kcopyd_device_open(path, flags, &device);

	if (error)
		fail(path, "kcopyd_device_open", -error);
	return device;
}

int main(int argc, char **argv)
{
	struct run run = { .lock = PTHREAD_MUTEX_INITIALIZER, .done = PTHREAD_COND_INITIALIZER };
	struct timespec begin;
	unsigned long outstanding;
	uint64_t sources, destinations;
	int error;

	if (argc != 6) {
		fprintf(stderr, "usage: randomcopy SOURCE DESTINATION JOBS OUTSTANDING BLOCK_SIZE\n");
		return 2;
	}
	run.jobs = strtoul(argv[3], NULL, 10);
	outstanding = strtoul(argv[4], NULL, 10);
	block_size = strtoul(argv[5], NULL, 10);
	if (block_size < page_size || block_size > most_block_size || (block_size & (block_size - 1))) {
		fprintf(stderr, "randomcopy: %s: blocks are 4096 to 65536 bytes, a power of two\n", argv[5]);
		return 2;
	}
	block_sectors = block_size / sector_size;
	run.source = open_device(argv[1], O_RDONLY | O_DIRECT);
	run.destination = open_device(argv[2], O_RDWR | O_DIRECT);
	sources = blocks_of(run.source, argv[1]);
	destinations = blocks_of(run.destination, argv[2]);
	if (!sources || run.jobs > destinations || outstanding < 1 || outstanding > run.jobs) {
		fprintf(stderr, "randomcopy: at least 1 and at most %llu jobs, and no more outstanding\n",
			(unsigned long long)destinations);
		return 2;
	}
	choose_places(&run, sources, destinations);
	error = kcopyd_client_create((unsigned int)(outstanding * block_size / page_size), &run.client);
	if (error)
		fail("client", "kcopyd_client_create", -error);

	clock_gettime(CLOCK_MONOTONIC, &begin);
	run.started = outstanding;
	for (unsigned long job = 0; job < outstanding; job++)
		submit(&run, job);
	pthread_mutex_lock(&run.lock);
	while (run.ended < run.jobs)
		pthread_cond_wait(&run.done, &run.lock);
	pthread_mutex_unlock(&run.lock);

	kcopyd_client_destroy(run.client);
	kcopyd_device_close(run.source);
	kcopyd_device_close(run.destination);
	if (run.failed) {
		fprintf(stderr, "randomcopy: %lu jobs failed\n", run.failed);
		return 1;
	}
	compare(&run, argv[1], argv[2]);
	printf("%.6f\n", (double)(run.end.tv_sec - begin.tv_sec) + (double)(run.end.tv_nsec - begin.tv_nsec) / 1e9);
	free(run.from);
	free(run.to);
	return 0;
}
