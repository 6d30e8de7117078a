/*
 * latency SOURCE DESTINATION SMALL_DESTINATION COPIES: how long a copy of 4 KiB takes while another client of the same process
 * has a hundred large jobs, and without them. Prints four times in microseconds: median and 99th percentile of the copies
 * alone, then beside the large jobs.
 *
 * The large jobs go round until the small copies are done: each that ends is submitted again.
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

enum { large_jobs = 100, small_sectors = 8 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static int small_done, small_failed, stopping, large_failed;

static struct kcopyd_client *large_client;
static struct job {
	struct io_region from, to;
} large[large_jobs];

static void fail(const char *object, const char *operation, int error)
{
	fprintf(stderr, "latency: %s: %s: %s\n", object, operation, strerror(error));
	exit(1);
}

static void large_completed(int read_err, unsigned int write_err, void *context)
{
	struct job *job = context;
	int stop;

	pthread_mutex_lock(&lock);
	large_failed += !stopping && (read_err || write_err);
	stop = stopping || large_failed;
	pthread_mutex_unlock(&lock);
	if (!stop && kcopyd_copy(large_client, &job->from, 1, &job->to, 0, large_completed, job))
		exit(1);
}

static void small_completed(int read_err, unsigned int write_err, void *context)
{
	(void)context;
	pthread_mutex_lock(&lock);
	small_failed += read_err || write_err;
	small_done = 1;
	pthread_cond_signal(&changed);
	pthread_mutex_unlock(&lock);
}

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec * 1e6 + (double)time.tv_nsec / 1e3;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* One copy after the other, each at another place. */
static void measure(struct kcopyd_client *client, struct io_region from, struct io_region to, unsigned long copies)
{
	double *times = malloc(copies * sizeof *times);
	sector_t room = to.count;

	if (!times)
		fail("times", "malloc", ENOMEM);
	from.count = to.count = small_sectors;
	for (unsigned long i = 0; i < copies; i++) {
		double begin = now();
		int error;

		from.sector = to.sector = i * 7919 * small_sectors % (room / small_sectors * small_sectors);
		small_done = 0;
		error = kcopyd_copy(client, &from, 1, &to, 0, small_completed, NULL);
		if (error)
			fail("small job", "kcopyd_copy", -error);
		pthread_mutex_lock(&lock);
		while (!small_done)
			pthread_cond_wait(&changed, &lock);
		pthread_mutex_unlock(&lock);
		times[i] = now() - begin;
	}
	qsort(times, copies, sizeof *times, compare);
	printf("%.1f %.1f ", times[copies / 2], times[copies * 99 / 100]);
	free(times);
}

static struct io_region open_region(const char *path, int flags)
{
	struct io_region region = { 0 };
	int error = kcopyd_device_open(path, flags, &region.bdev);

	if (!error)
		error = kcopyd_device_size(region.bdev, &region.count);
	if (error)
		fail(path, "open", -error);
	return region;
}

int main(int argc, char **argv)
{
	struct io_region source, destination, small_destination;
	struct kcopyd_client *small_client;
	unsigned long copies;
	sector_t share;

	if (argc != 5) {
		fprintf(stderr, "usage: latency SOURCE DESTINATION SMALL_DESTINATION COPIES\n");
		return 2;
	}
	source = open_region(argv[1], O_RDONLY);
	destination = open_region(argv[2], O_RDWR);
	small_destination = open_region(argv[3], O_RDWR);
	copies = strtoul(argv[4], NULL, 10);
	if (kcopyd_client_create(16, &small_client) || kcopyd_client_create(2048, &large_client))
		fail("client", "create", ENOMEM);

	measure(small_client, source, small_destination, copies);

	share = destination.count / large_jobs / small_sectors * small_sectors;
	for (int i = 0; i < large_jobs; i++) {
		large[i].from = source;
		large[i].to = destination;
		large[i].from.sector = large[i].to.sector = share * (sector_t)i;
		large[i].from.count = large[i].to.count = share;
		if (kcopyd_copy(large_client, &large[i].from, 1, &large[i].to, 0, large_completed, &large[i]))
			fail("large job", "kcopyd_copy", EINVAL);
	}
	measure(small_client, source, small_destination, copies);
	printf("\n");

	pthread_mutex_lock(&lock);
	stopping = 1;
	pthread_mutex_unlock(&lock);
	kcopyd_client_destroy(large_client);
	kcopyd_client_destroy(small_client);
	return small_failed || large_failed;
}
