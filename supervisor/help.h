/* What --help and --version print. Pure. */
#ifndef OC_SUPERVISOR_HELP_H
#define OC_SUPERVISOR_HELP_H

#define HELP_COLUMNS 100

/* The whole help, at most HELP_COLUMNS wide; the caller frees it. `first_line` (NULL: none) and an
 * empty line come before it. NULL when out of memory. */
char *help_render(const char *first_line);

/* "op-conductor version v0.1.0\n"; the caller frees it. NULL when out of memory. */
char *help_render_version(void);

#endif
