/* The last words of a process that crashes: one line on standard error with the signal, the address, the
 * build and where it was, which the supervisor keeps for its crash report. The process ends by the same
 * signal as without it, so that core dumps are as usual. */
#ifndef OC_WORKER_CRASH_H
#define OC_WORKER_CRASH_H

/* `build` is borrowed for ever. Signals that somebody handles already (a sanitizer) are left alone. */
void crash_install(const char *build);

#endif
