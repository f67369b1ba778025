/* Descendants of op-node that outlived their parent become our children (we are a subreaper). They
 * are collected when they end, and ended when op-node has: a survivor could hold its port or its
 * database. */
#ifndef OC_SUPERVISOR_REAP_H
#define OC_SUPERVISOR_REAP_H

#include <stdbool.h>
#include <sys/types.h>

typedef bool (*reap_is_own_fn)(void *ctx, pid_t pid);

/* Becomes the parent of orphaned descendants. Returns 0 or -errno. */
int reap_init(void);

/* Collects ended children that is_own does not claim. Does not wait. */
void reap_orphans(reap_is_own_fn is_own, void *ctx);

/* SIGKILL to all children that is_own does not claim. Returns how many there were. */
unsigned reap_kill_orphans(reap_is_own_fn is_own, void *ctx);

#endif
