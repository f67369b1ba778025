/* The storage directory of one conductor: who it belongs to, term and vote, log and snapshots, and
 * the one disk thread that writes them. The loop calls everything here; completions come back
 * through an eventfd and storage_poll.
 *
 *   storage_open → [storage_bootstrap] → storage_recover → storage_start → loop
 *
 * Files: lock, identity, meta (term and vote), <first index>.log, <index>.snap, and temporary ones
 * (*.tmp) that are removed at the next start. Anything but a torn end of the log is refused, with
 * file and index named.
 */
#ifndef OC_CONSENSUS_STORAGE_H
#define OC_CONSENSUS_STORAGE_H

#include "consensus/driver.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STORAGE_ID_BYTES 16
#define STORAGE_TEXT_SIZE 512 /* an error text for people, with paths */

struct storage;

struct storage_options {
    const char *dir;        /* made if missing (one level) */
    const char *name;       /* this server's name; a directory of another name is refused */
    uint64_t segment_bytes; /* 0: 64 MiB. At least 64 KiB; a larger entry gets a segment of its own size */
};

struct storage_identity {
    uint8_t uuid[STORAGE_ID_BYTES];       /* random, made with the directory */
    uint8_t cluster_id[STORAGE_ID_BYTES]; /* all zero: member of no cluster yet */
    char name[SERVER_ID_SIZE];
    bool fresh_bootstrap; /* this node formed the cluster and no operator has resumed it yet */
};

/* Locks the directory and reads its identity, or makes both. Returns 0; -EWOULDBLOCK (another process
 * has it), -EACCES, -EROFS, OC_EVERSION, OC_ECORRUPT, OC_ECONFLICT (another name, foreign files) or
 * another code, with what and what to do in ret_text. */
int storage_open(const struct storage_options *options, struct storage **ret_storage, char *ret_text, size_t text_size);
/* Writes what is queued (unless the disk failed), ends the disk thread, unlocks. Accepts NULL. */
void storage_close(struct storage *s);

/* Borrowed; changes with the setters. */
const struct storage_identity *storage_identity(const struct storage *s);
/* Durable before they return. Blocking; rare. Return 0 or a negative code. */
int storage_set_cluster_id(struct storage *s, const uint8_t cluster_id[STORAGE_ID_BYTES]);
int storage_set_fresh_bootstrap(struct storage *s, bool fresh);

/* No term, no log, no snapshot: this server never took part in anything. */
bool storage_is_pristine(const struct storage *s);
/* Forms a new cluster of one: a new random cluster id, fresh_bootstrap, and entry 1 of term 1 with
 * this server as the voter. Durable when it returns 0; a crash in between leaves a pristine
 * directory. -EEXIST when there is any data. Between open and recover only. */
int storage_bootstrap(struct storage *s, uint64_t self_id, const char *self_address);

/* Reads everything back, checked, and hands it over: entries and snapshot have one reference each
 * for the caller, the array is storage's until storage_recovered_done. Returns 0 or OC_ECORRUPT,
 * OC_EVERSION, -EIO …, with file and index in ret_text; then the process must not go on. On success
 * ret_text may hold a warning (a torn tail was dropped), else "". */
int storage_recover(struct storage *s, struct driver_recovered *ret_recovered, char *ret_text, size_t text_size);
void storage_recovered_done(struct storage *s);

/* Starts the disk thread. Returns 0 or a negative code. */
int storage_start(struct storage *s);

/* ---- the disk half of struct driver_io ---- */

int storage_save_term_vote(struct storage *s, uint64_t term, uint64_t voted_for);
void storage_append(struct storage *s, uint64_t index, struct entry *e);
void storage_truncate(struct storage *s, uint64_t from_index);
void storage_save_snapshot(struct storage *s, struct snapshot *snapshot, uint64_t keep_from, bool install);

/* ---- completions ---- */

/* Readable when storage_poll has something. Stays storage's. */
int storage_fd(const struct storage *s);

enum storage_event_kind { STORAGE_ENTRIES_DURABLE = 1, STORAGE_SNAPSHOT_DURABLE, STORAGE_DISK_FAILED };

struct storage_event {
    enum storage_event_kind kind;
    uint64_t index;            /* ENTRIES: durable up to here */
    struct snapshot *snapshot; /* SNAPSHOT: the taker owns the reference */
    int rc;                    /* FAILED; nothing is written any more */
    char text[STORAGE_TEXT_SIZE];
};

/* Takes the next completion, in order: 1 with one, 0 when there is none now. The loop passes them
 * to driver_entries_durable, driver_snapshot_durable, driver_disk_failed. */
int storage_poll(struct storage *s, struct storage_event *ret_event);

/* Bytes the directory's log and snapshots take (allocated, not only used). */
uint64_t storage_disk_bytes(const struct storage *s);

#endif
