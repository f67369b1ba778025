/* The payload envelope between JSON (JSON-RPC of op-node) and a payload record. */
#ifndef OC_PAYLOAD_JSON_H
#define OC_PAYLOAD_JSON_H

#include "shared/payload/record.h"

#include <stddef.h>
#include <stdint.h>

/* What a JSON text of an envelope will need as a record, at most: callers reserve this much. */
size_t payload_json_record_bound(size_t json_len);

/* Parses `{"parentBeaconBlockRoot":…,"executionPayload":{…}}` (exactly one JSON value, borrowed)
 * in one pass, decoding hex straight into dst. Unknown members of executionPayload are kept as text.
 * Returns the record's length, or a negative code with a reason in ret_text: the whole message of a
 * JSON-RPC error ("invalid argument 0: …"), NUL-terminated. OC_ESYNTAX: malformed; OC_ERANGE: above
 * a limit, or dst is too small (never when payload_json_record_bound(len) bytes are given). */
int64_t payload_record_from_json(const char *json, size_t len, uint8_t *dst, size_t dst_size, char *ret_text,
                                 size_t text_size);

/* Writes the envelope's JSON; equal in meaning to what was committed. Returns a new malloc'd,
 * NUL-terminated string (the caller frees it) and its length, or NULL when out of memory or when the
 * view was only opened and its record is corrupt after all. */
char *payload_record_to_json(const struct payload_view *view, size_t *ret_len);

/* Hex to bytes, AVX2 where the processor has it: `hex_len` digits (even, no 0x) to hex_len/2
 * bytes. Returns 0 or OC_ESYNTAX at the first character that is no hex digit. */
int hex_decode(const char *hex, size_t hex_len, uint8_t *dst);
/* Lower-case digits, 2*len characters, no NUL. */
void hex_encode(const uint8_t *src, size_t len, char *dst);

#endif
