/* unloads LIBRARY: the library is loaded by hand, used, unloaded and loaded again. */
#define _XOPEN_SOURCE 700
#include <dlfcn.h>
#include <stdio.h>

struct kcopyd_client;

static int use(const char *path)
{
	int (*create)(unsigned int, struct kcopyd_client **);
	void (*destroy)(struct kcopyd_client *);
	struct kcopyd_client *kc;
	void *library = dlopen(path, RTLD_NOW);

	if (!library) {
		fprintf(stderr, "%s\n", dlerror());
		return 1;
	}
	*(void **)&create = dlsym(library, "kcopyd_client_create");
	*(void **)&destroy = dlsym(library, "kcopyd_client_destroy");
	if (!create || !destroy || create(16, &kc))
		return 1;
	destroy(kc);
	return dlclose(library);
}

int main(int argc, char **argv)
{
	return argc != 2 || use(argv[1]) || use(argv[1]);
}
