/* Inside of the peer table; used by peer*.c only. */
#ifndef OC_CONSENSUS_PEER_IMPL_H
#define OC_CONSENSUS_PEER_IMPL_H

#include "consensus/net.h"
#include "consensus/peer.h"

#define ACCEPTED_MAX 64
#define HELLO_TIMEOUT_MS 2000
/* A lost control connection must be answered by a new hello within this time, or the peer is gone. */
#define GONE_AFTER_MS 20
#define RECORD_PERIOD_MS 200
#define RECORD_EARLY_MS 50 /* so much earlier any wake-up serves, to save one */
#define PROGRESS_PERIOD_MS 20
#define CONTROL_SILENCE_MS 10000 /* a control connection carries a record every RECORD_PERIOD_MS */
#define LOG_QUEUE_MAX_BYTES ((size_t)64 << 20)
#define CONTROL_QUEUE_MAX_BYTES ((size_t)1 << 20)
#define RETRY_MIN_MS 20
#define RETRY_MAX_MS 500
#define RETRY_REFUSED_MS 1000
#define REFUSAL_LOG_PERIOD_MS 10000

struct conn;
/* The hello was exchanged; or the connection ended (rc, or a refusal's text). In `down` the
 * connection is closed already and must be forgotten. */
typedef void (*conn_up_fn)(struct conn *c);
typedef void (*conn_down_fn)(struct conn *c, int rc, const char *refusal);

struct conn {
    struct peers *peers;
    struct conn *next, **prev_next;
    struct net_stream *stream;
    struct frame_receiver *receiver;
    struct frame_hello hello; /* of the other side */
    enum frame_purpose purpose;
    bool dialed, is_up, is_closed;
    uint64_t opened_ms, heard_ms, progress_ms;
    conn_up_fn up;
    conn_down_fn down;
    void *owner;
    /* A snapshot being sent, piece by piece. */
    struct snapshot *snapshot;
    struct frame_cursor snapshot_at;
    unsigned chunks_under_way;
    bool is_pumping;
};

enum dial_state { DIAL_WAIT, DIAL_LOOKUP, DIAL_HELLO, DIAL_UP };

struct dialer {
    struct peer *peer;
    enum frame_purpose purpose;
    enum dial_state state;
    uint64_t deadline_ms; /* of WAIT and HELLO */
    uint64_t gone_ms;     /* when an unanswered re-dial means that the peer is gone; 0: not asked */
    uint64_t backoff_ms;
    unsigned attempt;
    uint64_t nonce; /* of the process it reached last */
    struct net_lookup *lookup;
    struct conn *conn;
    struct sockaddr_storage addr; /* of the last dial */
    bool addr_known;              /* dialed again without a look-up */
    int last_rc;
};

struct peer {
    struct peer *next;
    struct peers *peers;
    uint64_t id;
    char name[SERVER_ID_SIZE];
    char host_port[SERVER_ADDR_SIZE];
    struct dialer control, log;
    struct frame_record record;
    uint64_t record_ms, heard_ms;
    uint32_t proposal_level;    /* of its last hello; 0: none yet */
    char version[VERSION_SIZE]; /* likewise */
    bool timeout_warned;
    char refusal[TEXT_SIZE]; /* the last one logged */
};

struct peers {
    uv_loop_t *loop;
    uv_timer_t *timer;
    struct net_listener *listener;
    struct peers_events events;
    struct frame_hello self;
    struct membership membership;
    struct peer *list;
    struct conn *conns;
    unsigned accepted_count;
    uint64_t refusal_logged_ms;
    bool is_stopped;
    struct frame_record record;
    uint64_t record_ms, next_record_ms;
};

struct peer *peers_find(const struct peers *p, uint64_t id);
/* Re-arms the table's timer for the earliest deadline. */
void peers_arm(struct peers *p);

/* ---- peer_conn.c ---- */
struct conn *conn_dial(struct peers *p, const struct sockaddr *addr, enum frame_purpose purpose, conn_up_fn up,
                       conn_down_fn down, void *owner);
void *conn_accept(void *ctx, struct net_stream *s, const struct net_events **ret_events);
/* No `down` follows. */
void conn_close(struct conn *c, bool flush);
void conn_send_small(struct conn *c, const struct frame_out *out);
/* Checks a hello against what is known. Returns false with the reason in text. */
bool conn_check_hello(const struct peers *p, const struct frame_hello *h, char *text, size_t text_size);

/* ---- peer_send.c ---- */
/* Entries and snapshots; all else is urgent. */
bool conn_is_log_msg(const struct wire_msg *msg);
void conn_send_msg(struct conn *c, const struct wire_msg *msg);
void conn_forget_snapshot(struct conn *c);

/* ---- peer_dial.c ---- */
void dialer_init(struct dialer *d, struct peer *peer, enum frame_purpose purpose);
void dialer_close(struct dialer *d);
/* Dials now if it was waiting to; with `urgent`, no answer means that the peer is gone. */
void dialer_hurry(struct dialer *d, uint64_t now_ms, bool urgent);
void dialer_tick(struct dialer *d, uint64_t now_ms);
uint64_t dialer_deadline_ms(const struct dialer *d);

#endif
