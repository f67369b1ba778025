/* Flags and environment into struct config. */
#include "tests/sim/config.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum kind { KIND_STR, KIND_U16, KIND_U32, KIND_U64, KIND_BOOL, KIND_PEER, KIND_SWITCH, KIND_FORK, KIND_ACCEPTED };

struct flag {
    const char *name, *env;
    enum kind kind;
    size_t offset;
    const char *help;
};

#define AT(member) offsetof(struct config, member)

static const struct flag FLAGS[] = {
    {"name", "OP_NODE_SIM_NAME", KIND_STR, AT(name), "the node's name in the journal and the log"},
    {"data-dir", "OP_NODE_SIM_DATA_DIR", KIND_STR, AT(data_dir), "where blocks are kept (required)"},
    {"journal", "OP_NODE_SIM_JOURNAL", KIND_STR, AT(journal_path),
     "journal file (journal.jsonl in the data directory)"},
    {"rpc.addr", "OP_NODE_RPC_ADDR", KIND_STR, AT(rpc_addr), "IPv4 address of both servers (127.0.0.1)"},
    {"rpc.port", "OP_NODE_RPC_PORT", KIND_U16, AT(rpc_port), "op-node's JSON-RPC; 0 picks a free port"},
    {"el.port", NULL, KIND_U16, AT(el_port), "the execution client's JSON-RPC; 0 picks a free port"},
    {"port-file", NULL, KIND_STR, AT(port_file),
     "file that gets {\"rpc\":…,\"el\":…,\"pid\":…} once both ports listen"},
    {"sequencer.enabled", "OP_NODE_SEQUENCER_ENABLED", KIND_ACCEPTED, 0, "accepted; the simulator always can sequence"},
    {"sequencer.stopped", "OP_NODE_SEQUENCER_STOPPED", KIND_BOOL, AT(sequencer_stopped), "start without sequencing"},
    {"conductor.enabled", "OP_NODE_CONDUCTOR_ENABLED", KIND_BOOL, AT(conductor_enabled),
     "commit every block to a conductor"},
    {"conductor.rpc", "OP_NODE_CONDUCTOR_RPC", KIND_STR, AT(conductor_rpc), "the conductor's URL"},
    {"conductor.rpc-timeout-ms", NULL, KIND_U32, AT(conductor_timeout_ms), "for both tries of a commit together"},
    {"block-time-ms", NULL, KIND_U32, AT(block_time_ms), "50 to 60000"},
    {"payload-bytes", NULL, KIND_U32, AT(payload_bytes), "random transaction bytes per block, at most 30000000"},
    {"fork", NULL, KIND_FORK, AT(fork), "shape of the payloads: ecotone or isthmus"},
    {"genesis-time", NULL, KIND_U64, AT(genesis_time), "seconds; must be the same on all nodes of a chain"},
    {"peer", NULL, KIND_PEER, 0, "op-node URL of another simulator (repeatable)"},
    {"lose-blocks", NULL, KIND_U64, AT(lose_blocks), "forget the newest N blocks at start"},
    {"sim", NULL, KIND_SWITCH, 0, "NAME=VALUE[@MS]: a misbehaviour, from the start or MS later (repeatable)"},
};
#define N_FLAGS (sizeof FLAGS / sizeof FLAGS[0])

static void print_help(void)
{
    printf("op-node-sim: an op-node and its execution client in one process, for tests\n\nFlags:\n");
    for (size_t i = 0; i < N_FLAGS; i++) {
        printf("  --%-26s %s", FLAGS[i].name, FLAGS[i].help);
        if (FLAGS[i].env)
            printf(" [$%s]", FLAGS[i].env);
        printf("\n");
    }
    printf("\nMisbehaviour is switched on by --sim or by the RPC sim_set {\"name\": value}; sim_status lists it.\n");
}

static int parse_u64(const char *text, uint64_t max, uint64_t *ret)
{
    char *end;
    errno = 0;
    unsigned long long v = strtoull(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || text[0] == '-' || v > max)
        return -1;
    *ret = v;
    return 0;
}

static int parse_bool(const char *text, bool *ret)
{
    static const char *const YES[] = {"1", "t", "T", "true", "TRUE", "True"};
    static const char *const NO[] = {"0", "f", "F", "false", "FALSE", "False", ""};
    for (size_t i = 0; i < sizeof YES / sizeof YES[0]; i++)
        if (strcmp(text, YES[i]) == 0)
            return *ret = true, 0;
    for (size_t i = 0; i < sizeof NO / sizeof NO[0]; i++)
        if (strcmp(text, NO[i]) == 0)
            return *ret = false, 0;
    return -1;
}

static int set_list(const char **list, uint32_t *n, uint32_t max, const char *value)
{
    if (*n == max)
        return -1;
    list[(*n)++] = value;
    return 0;
}

static int set_value(struct config *cfg, const struct flag *f, const char *value)
{
    char *at = (char *)cfg + f->offset;
    uint64_t v = 0;
    bool ignored;
    switch (f->kind) {
    case KIND_STR:
        memcpy(at, &value, sizeof value);
        return 0;
    case KIND_U16:
        if (parse_u64(value, UINT16_MAX, &v) != 0)
            return -1;
        memcpy(at, &(uint16_t){(uint16_t)v}, sizeof(uint16_t));
        return 0;
    case KIND_U32:
        if (parse_u64(value, UINT32_MAX, &v) != 0)
            return -1;
        memcpy(at, &(uint32_t){(uint32_t)v}, sizeof(uint32_t));
        return 0;
    case KIND_U64:
        if (parse_u64(value, UINT64_MAX, &v) != 0)
            return -1;
        memcpy(at, &v, sizeof v);
        return 0;
    case KIND_BOOL:
        return parse_bool(value, (bool *)at);
    case KIND_ACCEPTED:
        return parse_bool(value, &ignored);
    case KIND_PEER:
        return set_list(cfg->peers, &cfg->n_peers, CONFIG_PEERS_MAX, value);
    case KIND_SWITCH:
        return set_list(cfg->switches, &cfg->n_switches, CONFIG_SWITCHES_MAX, value);
    case KIND_FORK:
        if (strcmp(value, "ecotone") != 0 && strcmp(value, "isthmus") != 0)
            return -1;
        cfg->fork = value[0] == 'e' ? FORK_ECOTONE : FORK_ISTHMUS;
        return 0;
    }
    return -1;
}

static int check(const struct config *cfg)
{
    const char *wrong = NULL;
    if (!cfg->data_dir || cfg->data_dir[0] == '\0')
        wrong = "--data-dir is required: name a directory for the blocks";
    else if (cfg->block_time_ms < 50 || cfg->block_time_ms > 60000)
        wrong = "--block-time-ms must be between 50 and 60000";
    else if (cfg->payload_bytes > CONFIG_PAYLOAD_BYTES_MAX)
        wrong = "--payload-bytes must be at most 30000000";
    else if (cfg->conductor_timeout_ms == 0)
        wrong = "--conductor.rpc-timeout-ms must not be 0";
    if (wrong)
        fprintf(stderr, "op-node-sim: %s\n", wrong);
    return wrong ? -1 : 0;
}

static int parse_argument(struct config *cfg, int argc, char **argv, int *i)
{
    const char *arg = argv[*i];
    if (arg[0] != '-' || arg[1] == '\0') {
        fprintf(stderr, "op-node-sim: unexpected argument '%s' (see --help)\n", arg);
        return -1;
    }
    const char *name = arg + (arg[1] == '-' ? 2 : 1);
    size_t name_len = strcspn(name, "=");
    const struct flag *f = NULL;
    for (size_t k = 0; k < N_FLAGS && !f; k++)
        if (strlen(FLAGS[k].name) == name_len && strncmp(FLAGS[k].name, name, name_len) == 0)
            f = &FLAGS[k];
    if (!f) {
        fprintf(stderr, "op-node-sim: unknown flag '%s' (see --help)\n", arg);
        return -1;
    }
    const char *value;
    if (name[name_len] == '=') {
        value = name + name_len + 1;
    } else if (f->kind == KIND_BOOL || f->kind == KIND_ACCEPTED) {
        value = "true";
    } else if (*i + 1 < argc) {
        value = argv[++*i];
    } else {
        fprintf(stderr, "op-node-sim: flag --%s needs a value\n", f->name);
        return -1;
    }
    if (set_value(cfg, f, value) != 0) {
        fprintf(stderr, "op-node-sim: bad value '%s' for --%s: %s\n", value, f->name, f->help);
        return -1;
    }
    return 0;
}

int config_parse(struct config *cfg, int argc, char **argv)
{
    *cfg = (struct config){
        .name = "op-node-sim",
        .rpc_addr = "127.0.0.1",
        .conductor_rpc = "http://127.0.0.1:8547",
        .conductor_timeout_ms = 1000,
        .block_time_ms = 1000,
        .payload_bytes = 10000,
        .fork = FORK_ISTHMUS,
    };
    for (size_t k = 0; k < N_FLAGS; k++) {
        const char *value = FLAGS[k].env ? getenv(FLAGS[k].env) : NULL;
        if (value && set_value(cfg, &FLAGS[k], value) != 0) {
            fprintf(stderr, "op-node-sim: bad value '%s' in %s: %s\n", value, FLAGS[k].env, FLAGS[k].help);
            return -1;
        }
    }
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            print_help();
            return 1;
        }
        if (parse_argument(cfg, argc, argv, &i) != 0)
            return -1;
    }
    return check(cfg);
}
