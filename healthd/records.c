/* Walking the memfd of payload records. */
#include "healthd/records.h"

#include "shared/base/err.h"
#include "shared/base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

struct records {
    uint8_t *map;
    size_t map_bytes;
    size_t count;
    struct payload_view views[];
};

size_t records_count(const struct records *r)
{
    return r != NULL ? r->count : 0;
}

const struct payload_view *records_get(const struct records *r, size_t i)
{
    return &r->views[i];
}

void records_close(struct records *r)
{
    if (r == NULL)
        return;
    if (r->map != NULL)
        munmap(r->map, r->map_bytes);
    free(r);
}

static int walk(struct records *r, uint64_t count, char *ret_text, size_t text_size)
{
    const uint8_t *p = r->map;
    size_t left = r->map_bytes;
    for (size_t i = 0; i < count; i++) {
        uint64_t len;
        struct payload_view *view = &r->views[i];
        if (left < sizeof len) {
            snprintf(ret_text, text_size, "the exported payloads end before number %zu of %llu", i + 1,
                     (unsigned long long)count);
            return OC_ECORRUPT;
        }
        memcpy(&len, p, sizeof len);
        p += sizeof len;
        left -= sizeof len;
        int rc = len <= left ? payload_view_parse(p, (size_t)len, view) : OC_ECORRUPT;
        if (rc != 0) {
            snprintf(ret_text, text_size, "exported payload %zu of %llu: %s", i + 1, (unsigned long long)count,
                     err_text(rc));
            return rc;
        }
        const struct payload_view *before = i > 0 ? view - 1 : NULL;
        if (before != NULL &&
            (view->header.block_number != before->header.block_number + 1 ||
             memcmp(view->header.parent_hash, before->header.block_hash, sizeof view->header.parent_hash) != 0)) {
            snprintf(ret_text, text_size, "exported payload %zu of %llu is not the child of the one before", i + 1,
                     (unsigned long long)count);
            return OC_ECORRUPT;
        }
        p += len;
        left -= (size_t)len;
        r->count = i + 1;
    }
    if (left != 0) {
        snprintf(ret_text, text_size, "there is more behind the last exported payload");
        return OC_ECORRUPT;
    }
    return 0;
}

int records_open(int fd, uint64_t count, struct records **ret, char *ret_text, size_t text_size)
{
    uint64_t bytes = 0;
    int rc = fd_check_sealed(fd, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE, &bytes);
    *ret = NULL;
    if (rc == 0 && (count == 0 || count > RECORDS_MAX || bytes == 0))
        rc = OC_ERANGE;
    if (rc != 0) {
        snprintf(ret_text, text_size, "the exported payloads cannot be used: %s", err_text(rc));
        return rc;
    }
    struct records *r = calloc(1, sizeof *r + (size_t)count * sizeof r->views[0]);
    if (r == NULL) {
        snprintf(ret_text, text_size, "out of memory for the exported payloads");
        return -ENOMEM;
    }
    void *map = mmap(NULL, (size_t)bytes, PROT_READ, MAP_PRIVATE, fd, 0);
    if (map == MAP_FAILED) {
        rc = -errno;
        snprintf(ret_text, text_size, "the exported payloads cannot be mapped: %s", err_text(rc));
    } else {
        r->map = map;
        r->map_bytes = (size_t)bytes;
        rc = walk(r, count, ret_text, text_size);
    }
    if (rc != 0) {
        records_close(r);
        return rc;
    }
    *ret = r;
    return 0;
}
