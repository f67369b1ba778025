/* For the day when a majority of a cluster is lost for good: makes one of its servers, stopped, the only member
 * of a new cluster that goes on from what that server has. An entry with the new configuration is put behind
 * its log, in a new term, and a new cluster id keeps the old members out, should they come back.
 */
#ifndef OC_CONSENSUS_FORCE_H
#define OC_CONSENSUS_FORCE_H

#include <stdbool.h>

/* On the server's own storage directory; asks on the terminal unless is_yes. Says on stdout what it finds and
 * does, on stderr why not. Returns an exit code: 0 done (or nothing to do), 1 not done, 2 wrong usage. */
int force_new_cluster(const char *dir, bool is_yes);

#endif
