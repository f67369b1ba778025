/* The other members as this node reaches them. To each it dials two connections, one for what is
 * urgent (votes, heartbeats, results, self records) and one for entries and snapshots, so that seconds of
 * payload delay nothing (the driver anchors a heartbeat that overtakes its entry to what the peer has for
 * certain); answers to a server that is not in the configuration yet go back on the connection it dialed. Queues are
 * bounded: what does not fit is dropped, and the consensus core sends it again.
 */
#ifndef OC_CONSENSUS_PEER_H
#define OC_CONSENSUS_PEER_H

#include "consensus/driver.h"
#include "consensus/frame.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

struct peers;

struct peers_events {
    void *ctx;
    /* Takes msg's entry or snapshot. A negative code closes the connection. */
    int (*receive)(void *ctx, uint64_t from_id, struct wire_msg *msg);
    void (*connected)(void *ctx, uint64_t id); /* its log connection is new */
    /* Its process ended: its control connection ended, and dialing again was refused, not answered at
     * once, or answered by a new process. */
    void (*gone)(void *ctx, uint64_t id);
    void (*progress)(void *ctx, uint64_t id); /* payload bytes from it, or its word that ours arrive there */
};

/* self is copied (its purpose does not matter). NULL: out of memory. */
struct peers *peers_new(uv_loop_t *loop, const struct frame_hello *self, const struct peers_events *events);
/* Closes everything; the loop must run once more to let go of the handles. Accepts NULL. */
void peers_free(struct peers *p);

/* Returns 0 or a negative errno; text names the address. */
int peers_listen(struct peers *p, const char *host, uint16_t port, uint16_t *ret_port, char *ret_text,
                 size_t text_size);
/* The advertised host:port, once it is known. */
void peers_set_address(struct peers *p, const char *host_port);
void peers_set_cluster_id(struct peers *p, const uint8_t cluster_id[CLUSTER_ID_BYTES]);
/* Dials who is new, drops who is gone. */
void peers_sync(struct peers *p, const struct membership *m);
void peers_send(struct peers *p, uint64_t id, const struct wire_msg *msg);
/* The loop is awake: does what would soon wake it. */
void peers_tick(struct peers *p, uint64_t now_ms);
/* No more connections, in or out. */
void peers_stop(struct peers *p);

/* What this node tells the others about itself. */
void peers_set_record(struct peers *p, const struct msg_self_record *record);
/* A member's newest self record and its age. Returns false when it has told none. */
bool peers_get_record(const struct peers *p, uint64_t id, uint64_t now_ms, struct msg_self_record *ret_record,
                      uint64_t *ret_age_ms);
/* The highest level of proposals that this node and all other members understand, by their last hello; a member that
 * was never connected counts as one of the first version. */
uint32_t peers_proposal_level(const struct peers *p);
/* The version in a member's last hello, this node's own included; "" when it was never connected. Borrowed. */
const char *peers_version(const struct peers *p, uint64_t id);
/* When anything arrived from it; 0 = never. */
uint64_t peers_contact_ms(const struct peers *p, uint64_t id);
/* Both connections to it stand. */
bool peers_is_connected(const struct peers *p, uint64_t id);
/* Bytes for it that the system has not taken yet. */
uint64_t peers_queued_bytes(const struct peers *p, uint64_t id);
/* The cluster id in the hello of a connected server. Returns false when it is not connected or has none. */
bool peers_get_cluster_id(const struct peers *p, uint64_t id, uint8_t ret_cluster_id[CLUSTER_ID_BYTES]);

/* ---- asking who lives at an address ---- */

struct peer_probe;
/* rc 0 with the answer, or a negative code with a text in the words of a Go dial error. Called once,
 * never from inside peer_probe_start. */
typedef void (*peer_probe_fn)(void *ctx, int rc, const struct frame_hello *hello, const char *text);
/* Where nobody listens it is tried again for 1.5 s: a conductor that is being started. NULL: out of memory. */
struct peer_probe *peer_probe_start(struct peers *p, const char *host_port, uint64_t timeout_ms, peer_probe_fn done,
                                    void *ctx);
void peer_probe_cancel(struct peer_probe *probe); /* accepts NULL; no callback follows */

#endif
