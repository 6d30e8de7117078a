#include "kcopyd.h"
