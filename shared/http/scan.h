/* Looks at the raw bytes of a request's head before the parser does: line ends must be CR LF, lines
 * may not be continued, and size and line count are limited. The parser alone would let a bare CR
 * after an empty header value hide another header (request smuggling).
 */
#ifndef OC_HTTP_SCAN_H
#define OC_HTTP_SCAN_H

#include <stddef.h>
#include <stdint.h>

struct http_scan {
    uint32_t bytes; /* of the head so far */
    uint32_t lines;
    uint32_t line_bytes;
    uint32_t blank_bytes; /* CR and LF before the request line */
    uint8_t prev;
};

enum http_scan_result { HTTP_SCAN_MORE, HTTP_SCAN_END, HTTP_SCAN_BAD, HTTP_SCAN_TOO_LARGE };

/* Goes on with the next bytes. *ret_used: how many belong to the head (all of them with MORE).
 * max_lines counts the request line too. A zeroed struct starts a new request. */
enum http_scan_result http_scan_step(struct http_scan *s, const char *data, size_t len, uint32_t max_bytes,
                                     uint32_t max_lines, size_t *ret_used);

#endif
