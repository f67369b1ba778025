/* The table of all flags: one row gives the name, the environment variable, the type, the default,
 * whether it must be set, the group in --help and the field of struct options it fills.
 */
#ifndef OC_SUPERVISOR_FLAGS_H
#define OC_SUPERVISOR_FLAGS_H

#include "supervisor/options.h"

#include <stdbool.h>
#include <stddef.h>

enum flag_type {
    FLAG_STRING,
    FLAG_BOOL,
    FLAG_UINT,
    FLAG_INT,      /* a port; checked against 0..65535 in options_check.c */
    FLAG_DURATION, /* Go duration, unit mandatory; kept in ms */
    FLAG_SECONDS,  /* whole seconds as upstream, or a Go duration; kept in ms */
    FLAG_LEVEL,
    FLAG_FORMAT,
    FLAG_EL_API,
    FLAG_PPROF_TYPE,
};

enum flag_group {
    GROUP_CONSENSUS,
    GROUP_RAFT,
    GROUP_NODE,
    GROUP_MANAGED,
    GROUP_HEALTH,
    GROUP_RPC,
    GROUP_METRICS,
    GROUP_LOG,
    GROUP_OPERATION,
    GROUP_INERT,
    GROUP_REFUSED,
    GROUP_COUNT
};

enum flag_need { NEED_NO, NEED_YES, NEED_UNLESS_WITNESS };

struct flag {
    const char *name;
    enum flag_type type;
    enum flag_group group; /* GROUP_INERT: accepted, warned about; GROUP_REFUSED: an error when set to something */
    enum flag_need need;
    const char *value_name;   /* in --help; NULL for booleans */
    const char *default_text; /* "" = none; parsed like a given value */
    const char *help;
    size_t offset; /* in struct options; FLAG_NO_FIELD: kept nowhere */
    size_t size;   /* of a string field */
};

#define FLAG_NO_FIELD ((size_t)-1)
#define FLAG_COUNT_MAX 128

extern const struct flag flag_table[];
extern const unsigned flag_count;

/* Index in flag_table, or -1. `len`: of the name, without dashes. */
int flag_find(const char *name, size_t len);
const char *flag_group_title(enum flag_group group);

/* Checks `text` and stores it into the flag's field of `opts` (nothing is stored for rows without
 * a field). Returns 0, OC_ESYNTAX or OC_ERANGE; *ret_want then says what would have been right. */
int flag_store(const struct flag *flag, const char *text, struct options *opts, const char **ret_want);

/* Go's name of the type, for error texts: "uint64", "int", "bool", "duration", "string" or "". */
const char *flag_type_name(enum flag_type type);

#endif
