/* One line of a child's output as it goes into our own. With a JSON format every line has to be one
 * JSON object, so that whoever reads our log can parse all of it: a child's own JSON object is passed
 * with "role" put in front, anything else becomes the message of a line of ours. In the other formats
 * the line is passed as it is, after a prefix. */
#ifndef OC_SUPERVISOR_CHILDLINE_H
#define OC_SUPERVISOR_CHILDLINE_H

#include "shared/base/log.h"
#include "supervisor/logout.h"

#include <stdbool.h>
#include <stddef.h>

/* All borrowed. */
struct childline_style {
    enum log_format format;
    const char *role;     /* JSON: who says it */
    const char *prefix;   /* other formats */
    enum log_level level; /* JSON: of a line that is no JSON and names no level with lvl= */
};

bool childline_is_json(enum log_format format);

/* A longer line is cut. */
#define CHILDLINE_MAX_BYTES 8192

/* `len` includes the newline. With JSON, a blank line says nothing and is left out. */
void childline_write(struct logout *out, const struct childline_style *style, const char *line, size_t len);

#endif
