/* Blocking HTTP on raw sockets, so that tests say exactly which bytes go out. Every read gives up
 * after a few seconds. */
#ifndef OC_TESTS_UNIT_RPCD_HTTP_HELPER_H
#define OC_TESTS_UNIT_RPCD_HTTP_HELPER_H

#include <stddef.h>
#include <stdint.h>

struct http_answer {
    int status; /* 0: the connection ended before an answer */
    char head[4096];
    char *body; /* malloc'd, NUL-terminated */
    size_t body_len;
};

int helper_connect(uint16_t port);
/* Ignores a peer that closed early. */
void helper_send(int fd, const void *data, size_t len);
void helper_send_text(int fd, const char *text);
/* Reads one answer with Content-Length; interim answers (1xx) are skipped unless `keep_interim`. */
struct http_answer helper_read(int fd, int keep_interim);
void helper_free(struct http_answer *a);
/* Reads until the end of the connection; returns how many bytes came. */
size_t helper_drain(int fd);
/* A POST of JSON on a new connection. */
struct http_answer helper_post(uint16_t port, const char *path, const char *type, const void *body, size_t len);

#endif
