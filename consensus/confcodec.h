/* The library's encoding of a configuration (the payload of a CHANGE entry), with the bounds checks
 * that its own decoder lacks. Nothing reaches the library that was not checked here. Pure.
 *
 *   format u8 = 1 | server count u64 | {id u64 | address, NUL-terminated | role u8}… | zeros up to a
 *   multiple of 8 bytes; integers little-endian
 */
#ifndef OC_CONSENSUS_CONFCODEC_H
#define OC_CONSENSUS_CONFCODEC_H

#include "consensus/driver.h"

#include <stddef.h>
#include <stdint.h>

/* Decodes into ret_membership, except its index (0). Refuses: wrong version, no or more than
 * CLUSTER_SERVERS_MAX servers, id 0, an id or address twice, an unknown role, an address that is
 * empty, too long, not terminated or has control characters, bytes behind the end other than
 * zero padding. Returns 0 or OC_EPROTO. */
int confcodec_decode(const uint8_t *data, size_t len, struct membership *ret_membership);

/* Bytes that confcodec_encode will write. */
size_t confcodec_len(const struct membership *m);
/* dst has confcodec_len(m) bytes. */
void confcodec_encode(const struct membership *m, uint8_t *dst);

#endif
