/* Writes the journal. */
#include "tests/sim/journal.h"

#include "shared/base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LINE_MAX_BYTES 8192
#define TEXT_MAX_CHARS 300

int journal_open(struct journal *j, const char *path, const char *node)
{
    j->node = node;
    j->fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
    return j->fd < 0 ? -errno : 0;
}

void journal_write(struct journal *j, const char *event, const struct block_ref *block, const char *extra)
{
    char line[LINE_MAX_BYTES];
    int n = snprintf(line, sizeof line, "{\"t\":%" PRIu64 ",\"node\":\"%s\",\"event\":\"%s\"", clock_wall_ms(), j->node,
                     event);
    if (block) {
        char hash[HASH_TEXT_BYTES], parent[HASH_TEXT_BYTES];
        hash_to_text(block->hash, hash);
        hash_to_text(block->parent, parent);
        n += snprintf(line + n, sizeof line - (size_t)n,
                      ",\"number\":%" PRIu64 ",\"hash\":\"%s\",\"parent\":\"%s\",\"slot\":%" PRIu64, block->number,
                      hash, parent, block->slot_ms);
    }
    n += snprintf(line + n, sizeof line - (size_t)n, "%s%s}\n", extra ? "," : "", extra ? extra : "");
    if ((size_t)n >= sizeof line)
        abort(); /* the callers' extras are bounded */
    ssize_t done;
    do
        done = write(j->fd, line, (size_t)n);
    while (done < 0 && errno == EINTR);
    if (done != n) { /* a journal with holes would prove nothing */
        fprintf(stderr, "op-node-sim: cannot write the journal: %s\n", strerror(errno));
        abort();
    }
}

void journal_write_text(struct journal *j, const char *event, const struct block_ref *block, const char *key,
                        const char *text)
{
    char extra[TEXT_MAX_CHARS * 6 + 64];
    size_t n = (size_t)snprintf(extra, sizeof extra, "\"%s\":\"", key);
    for (size_t i = 0; text[i] != '\0' && i < TEXT_MAX_CHARS; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c == '"' || c == '\\') {
            extra[n++] = '\\';
            extra[n++] = (char)c;
        } else if (c < 0x20 || c >= 0x7f) {
            n += (size_t)snprintf(extra + n, 7, "\\u%04x", c);
        } else {
            extra[n++] = (char)c;
        }
    }
    memcpy(extra + n, "\"", 2);
    journal_write(j, event, block, extra);
}
