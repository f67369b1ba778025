/* The simulator's flags and environment: op-node's names where op-node has them. */
#ifndef OC_SIM_CONFIG_H
#define OC_SIM_CONFIG_H

#include <stdbool.h>
#include <stdint.h>

#define CONFIG_PEERS_MAX 16
#define CONFIG_SWITCHES_MAX 32
#define CONFIG_PAYLOAD_BYTES_MAX 30000000

enum sim_fork { FORK_ECOTONE, FORK_ISTHMUS };

struct config {
    const char *name;
    const char *data_dir;
    const char *journal_path; /* NULL: journal.jsonl in data_dir */
    const char *port_file;    /* NULL: none */
    const char *conductor_rpc;
    const char *peers[CONFIG_PEERS_MAX];
    uint32_t n_peers;
    const char *switches[CONFIG_SWITCHES_MAX]; /* NAME=VALUE[@MS] */
    uint32_t n_switches;
    const char *rpc_addr;
    uint16_t rpc_port, el_port; /* 0: any free one */
    bool sequencer_stopped;
    bool conductor_enabled;
    uint32_t conductor_timeout_ms;
    uint32_t block_time_ms;
    uint32_t payload_bytes;
    uint64_t genesis_time; /* seconds */
    uint64_t lose_blocks;
    enum sim_fork fork;
};

/* Reads flags (argv is borrowed) over the environment over the defaults. Returns 0; 1 when help was
 * printed; -1 after saying what is wrong on stderr. */
int config_parse(struct config *cfg, int argc, char **argv);

#endif
