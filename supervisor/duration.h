/* Numbers and durations as Go's flag package writes them. Pure. */
#ifndef OC_SUPERVISOR_DURATION_H
#define OC_SUPERVISOR_DURATION_H

#include <stdbool.h>
#include <stdint.h>

/* Go's time.ParseDuration for values that are not negative: "300ms", "1.5h", "2h45m", "0". Fractions
 * of a nanosecond are dropped. Returns 0, OC_ESYNTAX or OC_ERANGE (more than 2^63-1 ns). */
int duration_parse(const char *text, uint64_t *ret_ns);

/* Go's strconv.ParseUint(text, 0, 64): decimal, 0x, 0o or leading 0, 0b, and `_` between digits.
 * Returns 0, OC_ESYNTAX or OC_ERANGE. */
int number_parse_u64(const char *text, uint64_t *ret_value);

/* strconv.ParseInt(text, 0, 64): the same with a sign. */
int number_parse_i64(const char *text, int64_t *ret_value);

/* 1 t T TRUE true True 0 f F FALSE false False. Returns 0 or OC_ESYNTAX. */
int bool_parse(const char *text, bool *ret_value);

#endif
