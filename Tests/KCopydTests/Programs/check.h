/* SPDX-License-Identifier: Apache-2.0 */
/* What the test programs share: checks that end the program, a client of either kind, and counting callbacks. */
#ifndef CHECK_H
#define CHECK_H

#include <errno.h>
#include <fcntl.h>
#include <kcopyd.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CHECK(condition)                                                                     \
	do {                                                                                 \
		if (!(condition)) {                                                          \
			fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition); \
			_exit(1);                                                            \
		}                                                                            \
	} while (0)

/* The value has to be as expected; both are told. */
#define EXPECT(value, expected)                                                              \
	do {                                                                                 \
		long long v_ = (long long)(value), e_ = (long long)(expected);               \
		if (v_ != e_) {                                                              \
			fprintf(stderr, "%s:%d: %s is %lld, not %lld\n", __FILE__, __LINE__, \
				#value, v_, e_);                                             \
			_exit(1);                                                            \
		}                                                                            \
	} while (0)

/* A client in this process, or in the daemon whose socket the environment names. */
static inline struct kcopyd_client *create_client(unsigned int pages)
{
	const char *socket_path = getenv("KCOPYD_TEST_SOCKET");
	struct kcopyd_client *kc = NULL;

	if (socket_path)
		EXPECT(kcopyd_client_connect(socket_path, pages, &kc), 0);
	else
		EXPECT(kcopyd_client_create(pages, &kc), 0);
	CHECK(kc);
	return kc;
}

static inline struct block_device *open_device(const char *path, int flags)
{
	struct block_device *bdev = NULL;

	EXPECT(kcopyd_device_open(path, flags, &bdev), 0);
	CHECK(bdev);
	return bdev;
}

static inline struct io_region region(struct block_device *bdev, sector_t sector, sector_t count)
{
	struct io_region r;

	r.bdev = bdev;
	r.sector = sector;
	r.count = count;
	return r;
}

static inline struct io_region whole(struct block_device *bdev)
{
	sector_t size = 0;

	EXPECT(kcopyd_device_size(bdev, &size), 0);
	return region(bdev, 0, size);
}

/* What callbacks have said so far. */
struct tally {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	int calls;
	int read_errs;
	unsigned int write_errs;
	struct kcopyd_result last;
};

#define TALLY {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0, 0, 0, {0, 0, 0, 0, 0, 0}}

static inline void count_call(int read_err, unsigned int write_err, void *context)
{
	struct tally *tally = (struct tally *)context;

	pthread_mutex_lock(&tally->lock);
	tally->calls++;
	tally->read_errs += read_err;
	tally->write_errs |= write_err;
	pthread_cond_broadcast(&tally->changed);
	pthread_mutex_unlock(&tally->lock);
}

static inline void count_result(const struct kcopyd_result *result, void *context)
{
	((struct tally *)context)->last = *result;
	count_call(result->read_err, result->write_err, context);
}

static inline void await_calls(struct tally *tally, int calls)
{
	pthread_mutex_lock(&tally->lock);
	while (tally->calls < calls)
		pthread_cond_wait(&tally->changed, &tally->lock);
	pthread_mutex_unlock(&tally->lock);
	EXPECT(tally->calls, calls);
}

#endif
