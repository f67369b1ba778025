/* Who is who: a server is named by its operator, but Raft knows it by a digest of that name and of
 * the UUID of its storage, so that an emptied disk under an old name is another server. In the
 * configuration a server's address is "name@host:port". Pure.
 */
#ifndef OC_CONSENSUS_IDENTITY_H
#define OC_CONSENSUS_IDENTITY_H

#include "consensus/driver.h"
#include "shared/proto/bodies.h"

#include <stddef.h>
#include <stdint.h>

#define STORAGE_UUID_BYTES 16
#define CLUSTER_ID_BYTES 16

/* FNV-1a over the UUID and the name. Never 0 (which means "nobody"). */
uint64_t identity_raft_id(const char *name, const uint8_t uuid[STORAGE_UUID_BYTES]);

/* Checks a server name: 1 to SERVER_ID_SIZE-1 printable characters, none of them '@'. Returns 0 or
 * OC_ESYNTAX. */
int identity_check_name(const char *name);

/* "name@host:port" of a name and a "host:port". Returns 0 or OC_ERANGE when it does not fit. */
int identity_format_address(const char *name, const char *host_port, char *ret_address, size_t size);

/* The parts of "name@host:port"; either result may be NULL. Returns 0 or OC_ESYNTAX. */
int identity_parse_address(const char *address, char ret_name[SERVER_ID_SIZE], char ret_host_port[SERVER_ADDR_SIZE]);

/* The parts of "host:port", "[v6]:port" (without its brackets in ret_host). Returns 0, or OC_ESYNTAX
 * with a reason in the words of a Go dial error, e.g. "missing port in address". */
int identity_split_host_port(const char *host_port, char *ret_host, size_t host_size, uint16_t *ret_port,
                             const char **ret_reason);

/* "host:port", with brackets around a host that contains ':'. Returns 0 or OC_ERANGE. */
int identity_join_host_port(const char *host, uint16_t port, char *ret_host_port, size_t size);

/* The member of that name, or of that id; NULL if there is none. */
const struct member *identity_find_name(const struct membership *m, const char *name);
const struct member *identity_find_id(const struct membership *m, uint64_t id);
/* The member at that host:port; NULL if there is none. */
const struct member *identity_find_host_port(const struct membership *m, const char *host_port);

#endif
