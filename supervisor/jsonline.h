/* Whether a line of a child's output is one JSON object. Nothing is read out of it. */
#ifndef OC_SUPERVISOR_JSONLINE_H
#define OC_SUPERVISOR_JSONLINE_H

#include <stddef.h>

enum jsonline {
    JSONLINE_NO,        /* no JSON object, or more than one value, or nested deeper than JSONLINE_DEPTH_MAX */
    JSONLINE_EMPTY,     /* {} */
    JSONLINE_ANONYMOUS, /* an object without a member "role" of its own */
    JSONLINE_NAMED,     /* an object with one */
};

#define JSONLINE_DEPTH_MAX 64

/* Spaces around the object are allowed. Invalid UTF-8 makes it JSONLINE_NO. */
enum jsonline jsonline_classify(const char *text, size_t len);

#endif
