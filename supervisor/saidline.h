/* What a line of log says, in one sentence for people: when a process has ended, its last line becomes
 * part of a message of ours, where time, level and quotes of a whole log line inside a log line are only
 * noise. */
#ifndef OC_SUPERVISOR_SAIDLINE_H
#define OC_SUPERVISOR_SAIDLINE_H

#include <stddef.h>

/* Puts "message: reason" of a line in one of our log formats into `ret` (size > 0), without the reason
 * when there is none; any other line as it is. Cut to fit; never more than one line. */
void saidline_extract(const char *line, char *ret, size_t size);

#endif
