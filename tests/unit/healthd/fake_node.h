/* A tiny op-node for tests: a thread that answers JSON-RPC over HTTP on a loopback port, with a
 * chain of one line, and that can be told to misbehave. All functions may be called from the test's
 * thread at any time. */
#ifndef TEST_FAKE_NODE_H
#define TEST_FAKE_NODE_H

#include "shared/proto/bodies.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct fake_node;

/* How it deals with the calls of a method. */
enum fake_mood {
    FAKE_NORMAL,
    FAKE_HANGS,      /* never answers */
    FAKE_HTTP_500,   /* answers without JSON */
    FAKE_GARBAGE,    /* answers no JSON-RPC */
    FAKE_ERROR,      /* answers the error text given */
    FAKE_UNKNOWN,    /* answers that there is no such method */
    FAKE_RESULT,     /* answers the text given as result */
    FAKE_IGNORES,    /* posts only: "queued", but never adopted */
    FAKE_DROPS_FIRST /* posts only: the first one of each block is lost */
};

enum fake_method {
    FAKE_SYNC,
    FAKE_POST,
    FAKE_START,
    FAKE_STOP,
    FAKE_ACTIVE,
    FAKE_ENABLED,
    FAKE_PEERS,
    FAKE_SYNCING,
    FAKE_BLOCK,
    FAKE_EL_PEERS,
    FAKE_ADMIN_PEERS,
    FAKE_SUPERVISOR,
    FAKE_OUTPUT,
    FAKE_METHOD_COUNT
};

/* Started at this head, not sequencing. Fails the test when it cannot listen. */
struct fake_node *fake_node_new(uint64_t number);
void fake_node_free(struct fake_node *n); /* as a process that dies; accepts NULL */

void fake_node_url(const struct fake_node *n, char *ret, size_t size);

void fake_node_set_mood(struct fake_node *n, enum fake_method method, enum fake_mood mood, const char *text);
void fake_node_set_head(struct fake_node *n, const struct block_id *head);
void fake_node_set_timestamp(struct fake_node *n, uint64_t seconds);
void fake_node_set_peers(struct fake_node *n, unsigned count);
void fake_node_set_active(struct fake_node *n, bool active);
/* Answers to a call of the method come this much later. */
void fake_node_set_delay(struct fake_node *n, enum fake_method method, unsigned ms);
/* What a GET is answered with. */
void fake_node_set_get(struct fake_node *n, int status, const char *body);
/* The status is all zeros, as before the engine is initialised. */
void fake_node_set_blank(struct fake_node *n, bool blank);

bool fake_node_is_active(struct fake_node *n);
struct block_id fake_node_head(struct fake_node *n);
unsigned fake_node_calls(struct fake_node *n, enum fake_method method);

/* The block of the test chain: hash and parent hash are told by the number. */
void fake_hash(uint64_t number, uint8_t ret[HASH_SIZE]);
struct block_id fake_block(uint64_t number);

/* A sealed memfd with the records of blocks from..to of the test chain; -1 on failure. */
int fake_export(uint64_t from, uint64_t to);

#endif
