/* Checks the raw bytes of a request's head (see scan.h). */
#include "shared/http/scan.h"

/* A few blank lines before a request are tolerated, as RFC 9112 asks. */
#define BLANK_MAX_BYTES 8

enum http_scan_result http_scan_step(struct http_scan *s, const char *data, size_t len, uint32_t max_bytes,
                                     uint32_t max_lines, size_t *ret_used)
{
    for (size_t i = 0; i < len; i++) {
        const uint8_t c = (uint8_t)data[i];
        *ret_used = i + 1;
        if (s->bytes == 0 && (c == '\r' || c == '\n')) {
            if (++s->blank_bytes > BLANK_MAX_BYTES)
                return HTTP_SCAN_BAD;
            continue;
        }
        if (++s->bytes > max_bytes)
            return HTTP_SCAN_TOO_LARGE;
        if (c == '\n') {
            if (s->prev != '\r')
                return HTTP_SCAN_BAD;
            s->prev = c;
            if (s->line_bytes == 0)
                return HTTP_SCAN_END;
            if (++s->lines > max_lines)
                return HTTP_SCAN_TOO_LARGE;
            s->line_bytes = 0;
            continue;
        }
        if (s->prev == '\r' || c == '\0')
            return HTTP_SCAN_BAD;
        s->prev = c;
        if (c == '\r')
            continue;
        if (s->line_bytes == 0 && (c == ' ' || c == '\t'))
            return HTTP_SCAN_BAD;
        s->line_bytes++;
    }
    *ret_used = len;
    return HTTP_SCAN_MORE;
}
