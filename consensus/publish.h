/* Telling the others in this machine: the status page (beaten at least every PAGE_BEAT_MS) and the
 * LEADERSHIP event, which is sent only after the page says the same.
 */
#ifndef OC_CONSENSUS_PUBLISH_H
#define OC_CONSENSUS_PUBLISH_H

#include <stdint.h>

struct node;
struct publisher;

struct publisher *publish_new(struct node *n); /* NULL: out of memory */
void publish_free(struct publisher *p);        /* accepts NULL */
void publish_page(struct publisher *p);
/* Sends LEADERSHIP if something in it but the head changed, or if never sent. */
void publish_leadership(struct publisher *p);
/* Before the loop sleeps: beats if it is about time. */
void publish_tick(struct publisher *p, uint64_t now_ns);
uint64_t publish_deadline_ns(const struct publisher *p);

#endif
