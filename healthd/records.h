/* The payload records that come with a TAKEOVER or ADOPT: a sealed memfd of records, each prefixed
 * by its length as u64. All are checked when it is opened. */
#ifndef OC_HEALTHD_RECORDS_H
#define OC_HEALTHD_RECORDS_H

#include "shared/payload/record.h"

#include <stddef.h>
#include <stdint.h>

/* Far above what a window holds. */
#define RECORDS_MAX 65536

struct records;

/* Maps fd (borrowed) and checks it: sealed, exactly `count` valid records, each the child of the one
 * before. Returns 0, or a negative code with a reason in ret_text. */
int records_open(int fd, uint64_t count, struct records **ret, char *ret_text, size_t text_size);
void records_close(struct records *r); /* accepts NULL */

size_t records_count(const struct records *r); /* 0 for NULL */
const struct payload_view *records_get(const struct records *r, size_t i);

#endif
