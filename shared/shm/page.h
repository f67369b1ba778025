/* Status pages: one writer, any number of readers, one page per incarnation of its writer. Pages
 * are for looking; decisions ride on messages. The writer seals the memfd (SHRINK|GROW|
 * FUTURE_WRITE|SEAL) after mapping it, so nobody else can ever write it. The body is published
 * under a seqlock of 64-bit atomics; body structs (pages.h) are multiples of 8 bytes without padding
 * that matters and without pointers.
 */
#ifndef OC_SHM_PAGE_H
#define OC_SHM_PAGE_H

#include "shared/proto/proto.h"

#include <stddef.h>
#include <stdint.h>

#define PAGE_BODY_MAX_BYTES 65536

/* ---- writer ---- */
struct page_writer;
/* NULL on failure, errno set. body_bytes: a multiple of 8, at most PAGE_BODY_MAX_BYTES. */
struct page_writer *page_create(enum proc_role owner, uint32_t incarnation, size_t body_bytes);
void page_free(struct page_writer *w);
int page_fd(const struct page_writer *w); /* stays the writer's */
/* Publishes a whole body and beats. */
void page_publish(struct page_writer *w, const void *body, uint64_t now_mono_ns);
/* Only renews the heartbeat. */
void page_beat(struct page_writer *w, uint64_t now_mono_ns);

/* ---- reader ---- */
struct page_reader;
/* Borrows fd; checks seals, size, magic, owner, body size before mapping. NULL on failure, errno set. */
struct page_reader *page_open(int fd, enum proc_role owner, size_t body_bytes);
void page_close(struct page_reader *r);
uint32_t page_incarnation(const struct page_reader *r);
/* Copies the first `len` bytes (a multiple of 8) of the body. Returns 0, or OC_ESTALE when the
 * writer died in the middle of a write (bounded retries) or has never published. */
int page_read(const struct page_reader *r, void *ret_body, size_t len);
/* Age of the heartbeat; UINT64_MAX before the first. */
uint64_t page_age_ms(const struct page_reader *r, uint64_t now_mono_ns);

#endif
