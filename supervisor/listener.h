/* Listening sockets for RPC and metrics. They live as long as the supervisor, so that a restarted
 * rpcd finds the waiting connections and no client is refused. */
#ifndef OC_SUPERVISOR_LISTENER_H
#define OC_SUPERVISOR_LISTENER_H

#include <stddef.h>
#include <stdint.h>

/* Binds and listens. `host` is numeric (IPv6 with or without brackets), "localhost", or "" for all
 * IPv4 addresses; port 0: the system picks. `flags_text` names the flags for the error, as
 * "--rpc.addr/--rpc.port". Returns the fd (non-blocking, close-on-exec) and the port in *ret_port, or a
 * negative code with a sentence for the operator in `error`. */
int listener_open(const char *host, uint32_t port, const char *flags_text, uint32_t *ret_port, char *error,
                  size_t error_size);

/* "host:port" of where a local client reaches a listener of that host: a wildcard becomes loopback. */
void listener_local_address(const char *host, uint32_t port, char *ret, size_t ret_size);

#endif
