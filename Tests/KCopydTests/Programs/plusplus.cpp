// plusplus SOURCE DESTINATION: the header in C++, with a lambda for a callback.
#include <kcopyd.h>

#include <fcntl.h>
#include <string>

int main(int argc, char **argv)
{
	if (argc != 3 || std::string(kcopyd_version()) != KCOPYD_VERSION)
		return 1;
	io_region from{}, to{};
	kcopyd_client *client = nullptr;
	int calls = 0;
	if (kcopyd_device_open(argv[1], O_RDONLY, &from.bdev) || kcopyd_device_size(from.bdev, &from.count) ||
	    kcopyd_device_open(argv[2], O_RDWR, &to.bdev) || kcopyd_client_create(256, &client))
		return 1;
	to.count = from.count;
	auto count = [](int read_err, unsigned int write_err, void *context) {
		*static_cast<int *>(context) += read_err || write_err ? 1000 : 1;
	};
	int error = kcopyd_copy(client, &from, 1, &to, KCOPYD_VERIFY | KCOPYD_SEQUENTIAL, count, &calls);
	kcopyd_client_destroy(client);
	return error || calls != 1;
}
