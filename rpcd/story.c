/* What happened, in words (see story.h). */
#include "rpcd/story.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* ": text", or nothing. */
#define COLON(text) ((text)[0] != '\0' ? ": " : ""), (text)

static void say_leadership(const struct flight_record *r, char *ret, size_t size)
{
    if (r->code != 0)
        (void)snprintf(ret, size, "this node leads in term %" PRIu64, r->term);
    else if (r->subject[0] != '\0')
        (void)snprintf(ret, size, "%s leads in term %" PRIu64 "%s%s", r->subject, r->term, COLON(r->text));
    else
        (void)snprintf(ret, size, "no leader is known%s%s", COLON(r->text));
}

static void say_start(const struct flight_record *r, char *ret, size_t size)
{
    const bool is_start = r->kind == FLIGHT_SEQ_START;
    if (r->code != 0)
        (void)snprintf(ret, size, "the sequencer %s%s%s",
                       is_start ? "could not be started" : "runs, but not on the consensus head", COLON(r->text));
    else
        (void)snprintf(ret, size, "the sequencer %s on block %" PRIu64 " (%" PRIu64 " missing payload%s posted)",
                       is_start ? "was started" : "runs already and was left running", r->head.number, r->count,
                       r->count == 1 ? "" : "s");
}

static void say_operator(const struct flight_record *r, char *ret, size_t size)
{
    if (r->code != 0)
        (void)snprintf(ret, size, "an operator's request%s%s was refused%s%s", r->subject[0] != '\0' ? " " : "",
                       r->subject, COLON(r->text));
    else
        (void)snprintf(ret, size, "an operator asks: %s%s%s", r->subject, r->text[0] != '\0' ? " " : "", r->text);
}

static void say_head(const struct flight_record *r, char *ret, size_t size)
{
    static const struct {
        const char *subject, *sentence;
    } known[] = {
        {"left", "op-node left acknowledged blocks and is given them back; refused is its block"},
        {"ahead", "op-node is ahead of consensus; refused is its block"},
        {"replaced", "UNSAFE REORG: op-node left acknowledged blocks for the second time; replaced from block"},
        {"adopted", "the chain went on without consensus; adopted is what a majority reports, block"},
    };
    (void)snprintf(ret, size, "an event that this version does not know (%s)", r->subject);
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (strcmp(r->subject, known[i].subject) == 0)
            (void)snprintf(ret, size, "%s %" PRIu64 " (%s)", known[i].sentence, r->head.number, r->text);
}

void story_sentence(const struct flight_record *r, char *ret, size_t size)
{
    switch ((enum flight_kind)r->kind) {
    case FLIGHT_STARTED:
        (void)snprintf(ret, size, "op-conductor started (%s): %s", r->detail, r->text);
        return;
    case FLIGHT_STOPPING:
        (void)snprintf(ret, size, "op-conductor stops%s%s", COLON(r->text));
        return;
    case FLIGHT_ENDED:
        (void)snprintf(ret, size, "op-conductor has stopped all but consensus, exit code %d", (int)r->code);
        return;
    case FLIGHT_PROCESS_UP:
        (void)snprintf(ret, size, "%s runs (process %" PRIu64 ")", r->subject, r->count);
        return;
    case FLIGHT_PROCESS_DOWN:
        (void)snprintf(ret, size, "%s (process %" PRIu64 ")%s%s", r->subject, r->count, COLON(r->text));
        return;
    case FLIGHT_LEADERSHIP:
        say_leadership(r, ret, size);
        return;
    case FLIGHT_DECISION:
        (void)snprintf(ret, size, "decided to %s%s%s", r->subject, COLON(r->text));
        return;
    case FLIGHT_SEQ_START:
    case FLIGHT_SEQ_ADOPT:
        say_start(r, ret, size);
        return;
    case FLIGHT_SEQ_STOP:
        (void)snprintf(ret, size, "the sequencer %s%s%s", r->code == 0 ? "was stopped" : "could not be stopped",
                       COLON(r->text));
        return;
    case FLIGHT_SEQ_SEEN:
        (void)snprintf(ret, size, "op-node %s", r->code != 0 ? "sequences" : "does not sequence");
        return;
    case FLIGHT_TRANSFER:
        (void)snprintf(ret, size, "leadership %s %s (%s)%s%s", r->code == 0 ? "went to" : "could not be handed to",
                       r->subject, r->detail, COLON(r->text));
        return;
    case FLIGHT_TAKEN_OVER:
        if (r->code == 0)
            (void)snprintf(ret, size, "another node sequences now");
        else
            (void)snprintf(ret, size, "%s", r->text);
        return;
    case FLIGHT_PERMIT:
        (void)snprintf(ret, size, "op-node %s replace blocks that nobody acknowledged",
                       r->code != 0 ? "may" : "may no longer");
        return;
    case FLIGHT_HEALTH:
        (void)snprintf(ret, size, "%s%s%s", r->subject, COLON(r->text));
        return;
    case FLIGHT_READY:
        (void)snprintf(ret, size, "%s%s", r->code == READY_OK ? "" : "not ready: ", r->text);
        return;
    case FLIGHT_MEMBERSHIP:
        (void)snprintf(ret, size, "the members are %s (version %" PRIu64 ")", r->detail, r->count);
        return;
    case FLIGHT_OPERATOR:
        say_operator(r, ret, size);
        return;
    case FLIGHT_HEAD:
        say_head(r, ret, size);
        return;
    case FLIGHT_CONTACT:
        (void)snprintf(ret, size, "%s is %s", r->subject, r->code != 0 ? "heard again" : "not heard any more");
        return;
    case FLIGHT_NONE:
    case FLIGHT_KIND_COUNT:
        break;
    }
    (void)snprintf(ret, size, "an event that this version does not know (%" PRIu32 ")", r->kind);
}
