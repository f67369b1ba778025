/* What every worker does to be one: take over fds 3 (control channel) and 4 (config), say HELLO,
 * answer PING, notice that its parent is gone. The worker owns its loop and polls the channel.
 *
 *   worker_open → loop { chan_step(w.sup, on_message) } ; on MSG_START: prepare, then worker_ready.
 */
#ifndef OC_WORKER_WORKER_H
#define OC_WORKER_WORKER_H

#include "shared/ipc/chan.h"
#include "shared/shm/page.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WORKER_FD_CONTROL 3
#define WORKER_FD_CONFIG 4

/* Exit codes; 77-79 are final for the supervisor (restarting cannot help). */
enum worker_exit {
    WORKER_EXIT_OK = 0,
    WORKER_EXIT_INTERNAL = 70,
    WORKER_EXIT_TRY_LATER = 75,
    WORKER_EXIT_PERMISSION = 77,
    WORKER_EXIT_CONFIG = 78,
    WORKER_EXIT_BUILD_MISMATCH = 79,
};

struct worker {
    enum proc_role role;
    uint32_t incarnation;
    struct chan *sup;
    struct page_writer *page;
    bool draining;
    uint64_t drain_deadline_ns;
};

/* The id of this build; all executables of one build have the same. */
const char *build_id(void);

/* Reads and checks the config into ret_config (config_bytes is the role struct's exact size), sets
 * up logging, the page and the channel, and sends HELLO. Returns 0 or a code of enum worker_exit
 * after having said why on stderr (run by hand, it says so and how it is meant to be started). */
int worker_open(struct worker *w, enum proc_role role, void *ret_config, size_t config_bytes, size_t page_body_bytes);
void worker_close(struct worker *w);

/* For each message from the supervisor, first. Returns 1: handled here (PING, DRAIN); 0: the
 * worker's own business (START included: phase moves to STARTING before this returns);
 * negative: end the channel. */
int worker_handle(struct worker *w, const struct chan_msg *msg);

/* Everything works: tell the supervisor. Returns 0 or a negative code. */
int worker_ready(struct worker *w);

#endif
