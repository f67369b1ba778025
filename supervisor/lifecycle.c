/* The state table of supervised processes; see lifecycle.h for what the states mean. */
#include "supervisor/lifecycle.h"

#include <stddef.h>

struct cell {
    unsigned char set;
    unsigned char next;
    unsigned char action;
};

/* A cell that is not named is "ignored". */
#define TO(state, act)                                                                                                 \
    {                                                                                                                  \
        1, LIFE_##state, LIFE_ACT_##act                                                                                \
    }

/* Exits are taken in every state that has a process: the kernel asks nobody. */
static const struct cell worker_table[LIFE_STATE_COUNT][LIFE_EVENT_COUNT] =
    {
        [LIFE_DOWN] = {[LIFE_EV_START] = TO(SPAWNING, SPAWN)},
        [LIFE_SPAWNING] =
            {
                [LIFE_EV_NO_FORK] = TO(BACKOFF, DELAY),
                [LIFE_EV_GIVE_UP] = TO(FAILED, REPORT),
                [LIFE_EV_EXEC_OK] = TO(HANDSHAKE, NONE),
                /* One turn of the loop may see both; HELLO proves the exec. */
                [LIFE_EV_HELLO] = TO(STARTING, SEND_START),
                [LIFE_EV_FAULT] = TO(KILLING, KILL),
                [LIFE_EV_CHAN_END] = TO(TERMINATING, NONE),
                [LIFE_EV_STOP] = TO(KILLING, KILL),
                [LIFE_EV_HASTEN] = TO(KILLING, KILL),
                [LIFE_EV_TIMEOUT] = TO(KILLING, KILL),
                [LIFE_EV_EXITED] = TO(REAPED, NONE),
            },
        [LIFE_HANDSHAKE] =
            {
                [LIFE_EV_HELLO] = TO(STARTING, SEND_START),
                [LIFE_EV_FAULT] = TO(KILLING, KILL),
                [LIFE_EV_CHAN_END] = TO(TERMINATING, NONE),
                /* DRAIN is not legal yet, and there is nothing to finish. */
                [LIFE_EV_STOP] = TO(KILLING, KILL),
                [LIFE_EV_HASTEN] = TO(KILLING, KILL),
                [LIFE_EV_TIMEOUT] = TO(KILLING, KILL),
                [LIFE_EV_EXITED] = TO(REAPED, NONE),
            },
        [LIFE_STARTING] =
            {
                [LIFE_EV_READY] = TO(RUNNING, NONE),
                [LIFE_EV_FAULT] = TO(KILLING, KILL),
                [LIFE_EV_CHAN_END] = TO(TERMINATING, NONE),
                [LIFE_EV_STOP] = TO(DRAINING, DRAIN),
                [LIFE_EV_HASTEN] = TO(KILLING, KILL),
                [LIFE_EV_TIMEOUT] = TO(KILLING, KILL),
                [LIFE_EV_EXITED] = TO(REAPED, NONE),
            },
        [LIFE_RUNNING] =
            {
                [LIFE_EV_FAULT] = TO(KILLING, KILL),
                [LIFE_EV_CHAN_END] = TO(TERMINATING, NONE),
                [LIFE_EV_STOP] = TO(DRAINING, DRAIN),
                [LIFE_EV_HASTEN] = TO(DRAINING, DRAIN),
                [LIFE_EV_EXITED] = TO(REAPED, NONE),
            },
        [LIFE_DRAINING] =
            {
                [LIFE_EV_FAULT] = TO(KILLING, KILL),
                [LIFE_EV_CHAN_END] = TO(TERMINATING, NONE),
                [LIFE_EV_HASTEN] = TO(TERMINATING, TERM),
                [LIFE_EV_TIMEOUT] = TO(TERMINATING, TERM),
                [LIFE_EV_EXITED] = TO(REAPED, NONE),
            },
        [LIFE_TERMINATING] =
            {
                [LIFE_EV_FAULT] = TO(KILLING, KILL),
                [LIFE_EV_HASTEN] = TO(KILLING, KILL),
                [LIFE_EV_TIMEOUT] = TO(KILLING, KILL),
                [LIFE_EV_EXITED] = TO(REAPED, NONE),
            },
        [LIFE_KILLING] =
            {
                [LIFE_EV_TIMEOUT] = TO(KILLING, KILL),
                [LIFE_EV_EXITED] = TO(REAPED, NONE),
            },
        [LIFE_REAPED] =
            {
                [LIFE_EV_RETRY] = TO(BACKOFF, DELAY),
                [LIFE_EV_REST] = TO(DOWN, NONE),
                [LIFE_EV_GIVE_UP] = TO(FAILED, REPORT),
            },
        [LIFE_BACKOFF] =
            {
                [LIFE_EV_START] = TO(SPAWNING, SPAWN),
                [LIFE_EV_STOP] = TO(DOWN, NONE),
                [LIFE_EV_HASTEN] = TO(DOWN, NONE),
                [LIFE_EV_TIMEOUT] = TO(SPAWNING, SPAWN),
            },
        [LIFE_FAILED] = {[LIFE_EV_START] = TO(SPAWNING, SPAWN)},
};

static const struct cell node_table[LIFE_STATE_COUNT][LIFE_EVENT_COUNT] =
    {
        [LIFE_DOWN] = {[LIFE_EV_START] = TO(SPAWNING, SPAWN)},
        [LIFE_SPAWNING] =
            {
                [LIFE_EV_NO_FORK] = TO(BACKOFF, DELAY),
                [LIFE_EV_GIVE_UP] = TO(FAILED, REPORT),
                [LIFE_EV_EXEC_OK] = TO(STARTING, NONE),
                [LIFE_EV_FAULT] = TO(KILLING, KILL),
                [LIFE_EV_STOP] = TO(TERMINATING, TERM),
                [LIFE_EV_HASTEN] = TO(KILLING, KILL),
                [LIFE_EV_TIMEOUT] = TO(KILLING, KILL),
                [LIFE_EV_EXITED] = TO(REAPED, NONE),
            },
        [LIFE_STARTING] =
            {
                /* No time limit: op-node may wait for its L1 for as long as it takes. */
                [LIFE_EV_READY] = TO(RUNNING, NONE),
                [LIFE_EV_FAULT] = TO(KILLING, KILL),
                [LIFE_EV_STOP] = TO(TERMINATING, TERM),
                [LIFE_EV_HASTEN] = TO(TERMINATING, TERM),
                [LIFE_EV_EXITED] = TO(REAPED, NONE),
            },
        [LIFE_RUNNING] =
            {
                [LIFE_EV_FAULT] = TO(KILLING, KILL),
                [LIFE_EV_STOP] = TO(TERMINATING, TERM),
                [LIFE_EV_HASTEN] = TO(TERMINATING, TERM),
                [LIFE_EV_EXITED] = TO(REAPED, NONE),
            },
        /* One SIGTERM only: a second would cut op-node's graceful stop short. */
        [LIFE_TERMINATING] =
            {
                [LIFE_EV_FAULT] = TO(KILLING, KILL),
                [LIFE_EV_HASTEN] = TO(KILLING, KILL),
                [LIFE_EV_TIMEOUT] = TO(KILLING, QUIT),
                [LIFE_EV_EXITED] = TO(REAPED, NONE),
            },
        [LIFE_KILLING] =
            {
                [LIFE_EV_HASTEN] = TO(KILLING, KILL),
                [LIFE_EV_TIMEOUT] = TO(KILLING, KILL),
                [LIFE_EV_EXITED] = TO(REAPED, NONE),
            },
        [LIFE_REAPED] =
            {
                [LIFE_EV_RETRY] = TO(BACKOFF, DELAY),
                [LIFE_EV_REST] = TO(DOWN, NONE),
                [LIFE_EV_GIVE_UP] = TO(FAILED, REPORT),
            },
        [LIFE_BACKOFF] =
            {
                [LIFE_EV_START] = TO(SPAWNING, SPAWN),
                [LIFE_EV_STOP] = TO(DOWN, NONE),
                [LIFE_EV_HASTEN] = TO(DOWN, NONE),
                [LIFE_EV_TIMEOUT] = TO(SPAWNING, SPAWN),
            },
        [LIFE_FAILED] = {[LIFE_EV_START] = TO(SPAWNING, SPAWN)},
};

struct life_step lifecycle_next(enum life_kind kind, enum lifecycle_state state, enum life_event event)
{
    const struct cell *cell = kind == LIFE_KIND_NODE ? &node_table[state][event] : &worker_table[state][event];

    if (!cell->set)
        return (struct life_step){.next = state, .action = LIFE_ACT_NONE, .ignored = true};
    return (struct life_step){.next = (enum lifecycle_state)cell->next, .action = (enum life_action)cell->action};
}

bool lifecycle_is_alive(enum lifecycle_state state)
{
    switch (state) {
    case LIFE_SPAWNING:
    case LIFE_HANDSHAKE:
    case LIFE_STARTING:
    case LIFE_RUNNING:
    case LIFE_DRAINING:
    case LIFE_TERMINATING:
    case LIFE_KILLING:
        return true;
    default:
        return false;
    }
}

uint64_t lifecycle_limit_ms(const struct life_limits *limits, enum lifecycle_state state)
{
    switch (state) {
    case LIFE_SPAWNING:
        return limits->spawn_ms;
    case LIFE_HANDSHAKE:
        return limits->handshake_ms;
    case LIFE_STARTING:
        return limits->start_ms;
    case LIFE_DRAINING:
        return limits->drain_ms;
    case LIFE_TERMINATING:
        return limits->terminate_ms;
    case LIFE_KILLING:
        return limits->kill_ms;
    default:
        return 0;
    }
}
