/* The only file that depends on the build stamp. */
#include "shared/worker/worker.h"

const char *build_id(void)
{
    _Static_assert(sizeof OC_BUILD_ID <= BUILD_ID_SIZE, "the build id must fit into HELLO");
    return OC_BUILD_ID;
}
