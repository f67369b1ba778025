/* The pages as JSON objects for people and programs (shape: status.h). */
#include "rpcd/json_scan.h"
#include "rpcd/status.h"
#include "rpcd/text.h"
#include "shared/payload/json.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void put_string(struct text *o, const char *text, size_t text_size)
{
    char copy[SERVER_ADDR_SIZE], json[2 * SERVER_ADDR_SIZE];
    (void)snprintf(copy, sizeof copy, "%.*s", (int)text_size, text);
    const size_t len = json_string_encode(copy, json, sizeof json);
    text_put(o, "%.*s", (int)len, json);
}

static void put_block(struct text *o, bool is_known, const struct block_id *b)
{
    char hex[2 * HASH_SIZE];
    if (!is_known) {
        text_put(o, "null");
        return;
    }
    hex_encode(b->hash, HASH_SIZE, hex);
    text_put(o, "{\"number\":%" PRIu64 ",\"hash\":\"0x%.*s\"}", b->number, (int)sizeof hex, hex);
}

static const char *bool_text(bool b)
{
    return b ? "true" : "false";
}

static const char *tristate_text(bool is_known, uint32_t t)
{
    return !is_known || t == NODE_DONT_KNOW ? "null" : bool_text(t == NODE_YES);
}

static const char *pick(const char *const *names, size_t count, uint32_t index)
{
    return index < count ? names[index] : "unknown";
}

#define PICK(names, index) pick((names), sizeof(names) / sizeof((names)[0]), (index))

const char *status_health_reason_name(uint32_t reason)
{
    static const char *const names[HEALTH_REASON_COUNT] = {
        [HEALTH_OK] = "ok",
        [HEALTH_UNKNOWN] = "unknown",
        [HEALTH_NODE_UNREACHABLE] = "node_unreachable",
        [HEALTH_UNSAFE_LAG] = "unsafe_lag",
        [HEALTH_SAFE_LAG] = "safe_lag",
        [HEALTH_PEERS] = "peers",
        [HEALTH_SUPERVISOR_UNREACHABLE] = "supervisor_unreachable",
        [HEALTH_EL_PEERS] = "el_peers",
        [HEALTH_EL_PEERS_ERROR] = "el_peers_error",
        [HEALTH_BOOST_UNREACHABLE] = "boost_unreachable",
        [HEALTH_BOOST_PARTIAL] = "boost_partial",
        [HEALTH_BOOST_UNHEALTHY] = "boost_unhealthy",
        [HEALTH_EL_GONE] = "el_gone",
    };
    return PICK(names, reason);
}

const char *status_ready_reason_name(uint32_t reason)
{
    static const char *const names[READY_REASON_COUNT] = {
        [READY_OK] = "ready",
        [READY_UNKNOWN] = "unknown",
        [READY_NODE_DOWN] = "node_down",
        [READY_CONDUCTOR_DISABLED] = "conductor_disabled",
        [READY_UNHEALTHY] = "unhealthy",
        [READY_EL_SYNCING] = "el_syncing",
        [READY_LAGGING] = "lagging",
        [READY_PAUSED] = "paused",
        [READY_STOPPED] = "stopped",
        [READY_HELD_DOWN] = "held_down",
        [READY_WITNESS] = "witness",
        [READY_NO_CONSENSUS] = "no_consensus",
        [READY_NOT_MEMBER] = "not_a_member",
        [READY_NO_LEADER] = "no_leader",
    };
    return PICK(names, reason);
}

const char *status_child_name(unsigned child)
{
    static const char *const names[CHILD_COUNT] = {
        [CHILD_CONSENSUS] = "consensus",
        [CHILD_HEALTHD] = "healthd",
        [CHILD_RPCD] = "rpcd",
        [CHILD_NODE] = "op-node",
    };
    return PICK(names, child);
}

static const char *role_name(bool is_fresh, uint32_t state)
{
    static const char *const names[] = {
        [RAFT_ROLE_FOLLOWER] = "follower",
        [RAFT_ROLE_CANDIDATE] = "candidate",
        [RAFT_ROLE_LEADER] = "leader",
        [RAFT_ROLE_STOPPED] = "stopped",
    };
    return is_fresh ? PICK(names, state) : "unknown";
}

static void put_record(struct text *o, const struct page_server *s)
{
    if (s->record_age_ms == UINT64_MAX) {
        text_put(o, "null");
        return;
    }
    text_put(o, "{\"age_ms\":%" PRIu64 ",\"ready_reason\":\"%s\",\"paused\":%s,\"sequencing\":%s,\"unsafe_head\":",
             s->record_age_ms, status_ready_reason_name(s->record.reason), bool_text(s->record.paused != 0),
             bool_text(s->record.sequencing != 0));
    put_block(o, s->record.unsafe_head.number != 0, &s->record.unsafe_head);
    text_put(o, ",\"wall_ms\":%" PRIu64 "}", s->record.wall_ms);
}

static void put_servers(struct text *o, const struct page_consensus *p)
{
    text_put(o, "[");
    for (uint64_t i = 0; i < p->server_count; i++) {
        const struct page_server *s = &p->servers[i];
        text_put(o, "%s{\"id\":", i > 0 ? "," : "");
        put_string(o, s->id, sizeof s->id);
        text_put(o, ",\"addr\":");
        put_string(o, s->addr, sizeof s->addr);
        text_put(o, ",\"suffrage\":%" PRIu64 ",\"contact_age_ms\":", s->suffrage);
        if (s->contact_age_ms == UINT64_MAX)
            text_put(o, "null");
        else
            text_put(o, "%" PRIu64, s->contact_age_ms);
        text_put(o, ",\"version\":");
        put_string(o, s->version, sizeof s->version);
        text_put(o, ",\"record\":");
        put_record(o, s);
        text_put(o, "}");
    }
    text_put(o, "]");
}

char *status_membership_to_json(const struct status *s, size_t *ret_len)
{
    struct text o = {0};
    struct page_consensus *p = malloc(sizeof *p);
    if (p == NULL)
        return NULL;
    (void)status_read_consensus_any_age(s, p);
    text_put(&o, "{\"servers\":[");
    for (uint64_t i = 0; i < p->server_count; i++) {
        const struct page_server *server = &p->servers[i];
        text_put(&o, "%s{\"id\":", i > 0 ? "," : "");
        put_string(&o, server->id, sizeof server->id);
        text_put(&o, ",\"addr\":");
        put_string(&o, server->addr, sizeof server->addr);
        text_put(&o, ",\"suffrage\":%" PRIu64 "}", server->suffrage);
    }
    text_put(&o, "],\"version\":%" PRIu64 "}", p->membership_version);
    free(p);
    return text_finish(&o, ret_len);
}

static void put_supervisor(struct text *o, const struct page_supervisor *p, bool is_known)
{
    text_put(o,
             ",\"overridden\":%s,\"paused\":%s,\"stopped\":%s,\"active\":%s,\"healthy\":%s,\"ready_reason\":\"%s\""
             ",\"last_handover_us\":%" PRIu64 ",\"last_handover_wall_ms\":%" PRIu64 ",\"children\":[",
             bool_text(p->overridden != 0), bool_text(p->paused != 0), bool_text(p->stopped != 0),
             bool_text(is_known && p->paused == 0 && p->stopped == 0), bool_text(p->healthy != 0),
             status_ready_reason_name(is_known ? p->ready_reason : READY_UNKNOWN), p->last_handover_us,
             p->last_handover_wall_ms);
    bool is_first = true;
    for (unsigned i = 0; i < CHILD_COUNT; i++) {
        const struct page_child *c = &p->children[i];
        if (i == CHILD_NODE && p->node_managed == 0)
            continue;
        text_put(o, "%s{\"name\":\"%s\",\"state\":\"%s\",\"pid\":%u,\"incarnation\":%u,\"restarts\":%u}",
                 is_first ? "" : ",", status_child_name(i), lifecycle_state_name((enum lifecycle_state)c->state),
                 c->pid, c->incarnation, c->restarts);
        is_first = false;
    }
    text_put(o, "]");
}

static void put_health(struct text *o, const struct page_health *h, bool is_known)
{
    const struct msg_health *l = &h->last;
    text_put(o, ",\"health_reason\":\"%s\",\"health_text\":",
             status_health_reason_name(is_known ? l->reason : HEALTH_UNKNOWN));
    put_string(o, l->text, sizeof l->text);
    text_put(o, ",\"sequencer_active\":%s,\"conductor_enabled\":%s,\"el_syncing\":%s,\"node_head\":",
             tristate_text(is_known, l->sequencer_active), tristate_text(is_known, l->conductor_enabled),
             tristate_text(is_known, l->el_syncing));
    put_block(o, is_known && l->node_reachable != 0, &l->unsafe_head);
}

static void put_consensus(struct text *o, const struct page_consensus *p, bool is_fresh)
{
    static const uint8_t no_cluster[sizeof p->cluster_id];
    char hex[2 * sizeof p->cluster_id];
    text_put(o,
             ",\"role\":\"%s\",\"term\":%" PRIu64 ",\"commit_index\":%" PRIu64 ",\"applied_index\":%" PRIu64
             ",\"last_index\":%" PRIu64 ",\"leader_ready\":%s,\"transferring\":%s,\"leader\":{\"id\":",
             role_name(is_fresh, p->state), p->term, p->commit_index, p->applied_index, p->last_index,
             bool_text(p->leader_ready != 0), bool_text(p->transferring != 0));
    put_string(o, p->leader_id, sizeof p->leader_id);
    text_put(o, ",\"addr\":");
    put_string(o, p->leader_addr, sizeof p->leader_addr);
    text_put(o, "},\"unsafe_head\":");
    put_block(o, p->head_valid != 0, &p->head);
    hex_encode(p->cluster_id, sizeof p->cluster_id, hex);
    const int id_len = memcmp(p->cluster_id, no_cluster, sizeof no_cluster) == 0 ? 0 : (int)sizeof hex;
    text_put(o,
             ",\"commits\":%" PRIu64 ",\"commits_failed\":%" PRIu64 ",\"last_commit_us\":%" PRIu64
             ",\"window\":{\"payloads\":%" PRIu64 ",\"bytes\":%" PRIu64 "},\"cluster_id\":\"%.*s\""
             ",\"membership_version\":%" PRIu64 ",\"servers\":",
             p->commits_total, p->commits_failed_total, p->last_commit_us, p->window_count, p->window_bytes, id_len,
             hex, p->membership_version);
    put_servers(o, p);
}

char *status_to_json(const struct status *s, size_t *ret_len)
{
    struct pages {
        struct page_consensus consensus;
        struct page_health health;
        struct page_supervisor supervisor;
    } *p = malloc(sizeof *p);
    struct text o = {0};
    if (p == NULL)
        return NULL;
    const bool has_consensus = status_read_consensus(s, &p->consensus);
    const bool has_health = status_read_health(s, &p->health);
    const bool has_supervisor = status_read_supervisor(s, &p->supervisor);
    const struct config_common *config = status_config(s);
    text_put(&o, "{\"node\":");
    put_string(&o, config->server_id, sizeof config->server_id);
    text_put(&o, ",\"version\":");
    put_string(&o, config->version, sizeof config->version);
    put_supervisor(&o, &p->supervisor, has_supervisor);
    put_health(&o, &p->health, has_health);
    put_consensus(&o, &p->consensus, has_consensus);
    text_put(&o, "}");
    free(p);
    return text_finish(&o, ret_len);
}
