// What Swift cannot import: kernel constants too new for the distribution's headers, and variadic or macro calls.
#ifndef CLINUX_H
#define CLINUX_H
#include <features.h>
#endif
