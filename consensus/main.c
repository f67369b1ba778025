/* op-conductor-consensus: Raft membership, log and the window of unsafe payloads. */
#include "consensus/archive.h"
#include "consensus/force.h"
#include "consensus/node.h"

#include <malloc.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* By hand: what conductorctl has done to the storage of a stopped server. The worker itself is started by op-conductor,
 * without arguments. */
static int run_by_hand(int argc, char **argv)
{
    bool is_yes = argc == 4 && strcmp(argv[3], "--yes") == 0;
    if ((argc == 3 || is_yes) && strcmp(argv[1], "--force-new-cluster") == 0)
        return force_new_cluster(argv[2], is_yes);
    if (argc == 4 && strcmp(argv[1], "--backup") == 0)
        return archive_backup(argv[2], argv[3]);
    if (argc == 4 && strcmp(argv[1], "--restore") == 0)
        return archive_restore(argv[2], argv[3]);
    (void)fprintf(stderr,
                  "op-conductor starts this program. By hand, with DIR the storage directory of a stopped "
                  "server: op-conductor-consensus --force-new-cluster DIR [--yes] | --backup DIR TO | --restore "
                  "FROM DIR\n");
    return 2;
}

int main(int argc, char **argv)
{
    /* Payloads of all sizes come and go: on the heap they would leave holes, and memory would grow. */
    (void)mallopt(M_MMAP_THRESHOLD, 64 << 10);
    return argc > 1 ? run_by_hand(argc, argv) : node_run();
}
