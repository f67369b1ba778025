/* A log entry in memory: one page-aligned buffer that is received into, written to disk and sent
 * to followers as it is: [64-byte disk record header][payload][zero padding to 4 KiB]. Reference
 * counted, atomically, because the disk thread holds entries too.
 */
#ifndef OC_CONSENSUS_ENTRY_H
#define OC_CONSENSUS_ENTRY_H

#include <stddef.h>
#include <stdint.h>

#define ENTRY_HEADER_BYTES 64
#define ENTRY_ALIGN 4096
/* One maximum for ring, wire and log: a 32 MiB SSZ payload with its headers and extra fields. */
#define ENTRY_PAYLOAD_MAX_BYTES (((size_t)32 << 20) + ((size_t)128 << 10))

enum entry_type { ENTRY_COMMAND = 1, ENTRY_BARRIER = 2, ENTRY_CHANGE = 3 };

struct entry;

/* A new entry with one reference and an uninitialised payload of len bytes, its padding zeroed.
 * NULL when out of memory or len exceeds ENTRY_PAYLOAD_MAX_BYTES. */
struct entry *entry_new(enum entry_type type, uint64_t term, size_t len);
struct entry *entry_ref(struct entry *e);
void entry_unref(struct entry *e); /* accepts NULL */

uint8_t *entry_payload(struct entry *e);
/* The payload's CRC-32C: computed once, then remembered, so the payload must not change any more.
 * Disk, wire and snapshots all want it. Any thread. */
uint32_t entry_crc(struct entry *e);
/* For a payload whose checksum was computed on its way in. */
void entry_set_crc(struct entry *e, uint32_t crc);
size_t entry_len(const struct entry *e);
enum entry_type entry_type(const struct entry *e);
uint64_t entry_term(const struct entry *e);
void entry_set_term(struct entry *e, uint64_t term);
/* The whole aligned buffer for the disk writer, a multiple of ENTRY_ALIGN. */
uint8_t *entry_buffer(struct entry *e, size_t *ret_bytes);

#endif
