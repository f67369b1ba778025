/* The flight recorder's events as JSON (see events.h). */
#include "rpcd/events.h"

#include "rpcd/story.h"
#include "rpcd/text.h"
#include "shared/payload/json.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int events_take_ring(struct rpcd *app, int fd)
{
    struct flight_reader *ring = flight_reader_open(fd);
    if (ring == NULL)
        return -errno;
    flight_reader_close(app->flight);
    app->flight = ring;
    return 0;
}

/* `,"key":"text"`; a control character takes six bytes. */
static void put_text(struct text *o, const char *key, const char *text)
{
    char piece[TEXT_SIZE], json[6 * TEXT_SIZE + 16];
    text_put(o, ",\"%s\":\"", key);
    while (*text != '\0') {
        flight_copy_text(piece, sizeof piece, text); /* never cuts a character */
        const size_t len = json_string_encode(piece, json, sizeof json);
        text_put(o, "%.*s", (int)len - 2, json + 1);
        text += piece[0] != '\0' ? strlen(piece) : 1;
    }
    text_put(o, "\"");
}

static void put_head(struct text *o, const struct block_id *b)
{
    char hex[2 * HASH_SIZE];
    static const struct block_id NONE;
    if (memcmp(b, &NONE, sizeof NONE) == 0) {
        text_put(o, ",\"head\":null");
        return;
    }
    hex_encode(b->hash, HASH_SIZE, hex);
    text_put(o, ",\"head\":{\"number\":%" PRIu64 ",\"hash\":\"0x%.*s\"}", b->number, (int)sizeof hex, hex);
}

static void put_event(struct text *o, const struct flight_record *r)
{
    char sentence[STORY_SENTENCE_SIZE];
    story_sentence(r, sentence, sizeof sentence);
    text_put(o, "{\"sequence\":%" PRIu64 ",\"run\":%" PRIu32 ",\"time_ms\":%" PRIu64 ",\"mono_us\":%" PRIu64,
             r->sequence, r->run, r->wall_ms, r->mono_ns / 1000);
    text_put(o, ",\"kind\":\"%s\"", flight_kind_name(r->kind));
    put_text(o, "what", sentence);
    put_text(o, "subject", r->subject);
    put_text(o, "why", r->text);
    put_text(o, "detail", r->detail);
    text_put(o, ",\"code\":%" PRId32 ",\"term\":%" PRIu64, r->code, r->term);
    put_head(o, &r->head);
    text_put(o, ",\"duration_us\":%" PRIu64 ",\"count\":%" PRIu64 ",\"repeats\":%" PRIu32 "}", r->duration_us, r->count,
             r->repeats);
}

static uint64_t first_wanted(const struct flight_reader *ring, uint64_t newest, const uint64_t *since, uint64_t limit)
{
    const uint64_t oldest = flight_reader_oldest(ring);
    if (since != NULL)
        return *since >= oldest ? *since + 1 : oldest;
    return newest >= oldest + limit ? newest - limit + 1 : oldest;
}

char *events_to_json(const struct flight_reader *ring, const char *node, const uint64_t *since, uint64_t limit,
                     size_t *ret_len)
{
    struct text o = {0};
    struct flight_record r;
    uint64_t newest = 0, run_first = 1, count = 0;
    uint32_t run = 0;
    if (ring != NULL) {
        newest = flight_reader_newest(ring);
        run = flight_reader_run(ring, &run_first);
    }
    text_put(&o, "{\"run\":%" PRIu32 ",\"run_first_sequence\":%" PRIu64 ",\"next_sequence\":%" PRIu64, run, run_first,
             newest + 1);
    put_text(&o, "node", node);
    text_put(&o, ",\"events\":[");
    if (ring != NULL && (since == NULL || *since < newest)) {
        for (uint64_t at = first_wanted(ring, newest, since, limit); at <= newest && count < limit; at++) {
            if (flight_reader_get(ring, at, &r) < 0)
                continue; /* torn, or overtaken meanwhile */
            if (count++ > 0)
                text_put(&o, ",");
            put_event(&o, &r);
        }
    }
    text_put(&o, "]}");
    return text_finish(&o, ret_len);
}

void events_answer(struct rpc_call *call)
{
    uint64_t since = 0, limit = EVENTS_DEFAULT;
    size_t len = 0;
    const bool has_since = rpc_take_u64(call, 0, &since);
    if (rpc_take_u64(call, 1, &limit) && (limit == 0 || limit > EVENTS_MAX)) {
        rpc_reply_error(call, JSONRPC_INVALID_PARAMS, "invalid argument 1: want a limit from 1 to %d", EVENTS_MAX);
        return;
    }
    char *json =
        events_to_json(call->app->flight, call->app->config.common.server_id, has_since ? &since : NULL, limit, &len);
    if (json == NULL)
        rpc_reply_error(call, JSONRPC_SERVER, "out of memory");
    else
        rpc_reply_json(call, json, len);
    free(json);
}
