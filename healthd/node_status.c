/* Reading optimism_syncStatus: numbers in it are plain JSON integers. */
#include "healthd/node_status.h"

#include "healthd/jsonrpc.h"
#include "shared/base/err.h"

#include <string.h>

static int get_integer(const cJSON *object, const char *name, uint64_t *ret)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, name);
    /* Doubles are exact up to 2^53, far above any block number. */
    if (!cJSON_IsNumber(item) || item->valuedouble < 0 || item->valuedouble > 9007199254740992.0)
        return OC_ESYNTAX;
    *ret = (uint64_t)item->valuedouble;
    return 0;
}

int node_status_parse(const cJSON *result, struct node_status *ret)
{
    const cJSON *unsafe = cJSON_GetObjectItemCaseSensitive(result, "unsafe_l2");
    const cJSON *safe = cJSON_GetObjectItemCaseSensitive(result, "safe_l2");
    struct node_status s = {0};
    if (get_integer(unsafe, "number", &s.unsafe_head.number) != 0 ||
        get_integer(unsafe, "timestamp", &s.unsafe_timestamp) != 0 ||
        rpc_get_hash(cJSON_GetObjectItemCaseSensitive(unsafe, "hash"), s.unsafe_head.hash) != 0 ||
        get_integer(safe, "number", &s.safe_number) != 0 || get_integer(safe, "timestamp", &s.safe_timestamp) != 0)
        return OC_ESYNTAX;
    *ret = s;
    return 0;
}

bool node_status_is_blank(const struct node_status *s)
{
    static const uint8_t zero[HASH_SIZE];
    return memcmp(s->unsafe_head.hash, zero, sizeof zero) == 0;
}

bool block_id_equal(const struct block_id *a, const struct block_id *b)
{
    return a->number == b->number && memcmp(a->hash, b->hash, sizeof a->hash) == 0;
}
