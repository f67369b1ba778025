/* The HTTP server under test in a thread of its own, with small limits and short timeouts, and an HTTP client on the
 * same loop. Paths: /echo and /take answer the request's body, /big?N has N bytes, /later takes a moment, /stream?MS
 * sends without end, a piece every MS, /never ends the connection without an answer; any other is a 404 with the path
 * as its body. */
#ifndef OC_TESTS_HTTP_FIXTURE_H
#define OC_TESTS_HTTP_FIXTURE_H

#include "shared/http/client.h"
#include "shared/http/server.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <uv.h>

#define MAX_BODY (1u << 20)

extern struct http_fixture {
    pthread_t thread;
    uv_loop_t loop;
    uv_async_t stop;
    struct http_server *server;
    struct http_client *client;
    uint16_t port;
    atomic_uint handled, gone, streams_ended, streams_refused;
    /* What the client tests ask for, and got. */
    uv_async_t ask;
    char url[64];
    atomic_int client_rc, client_status;
    uint32_t client_timeout_ms;
    char client_body[64];
} http_fixture;

int http_fixture_setup(void **state);
int http_fixture_teardown(void **state); /* fails when a handle was leaked */

#endif
