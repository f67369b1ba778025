/* What the server's own files share; nobody else includes it. */
#ifndef OC_HTTP_SERVER_INTERNAL_H
#define OC_HTTP_SERVER_INTERNAL_H

#include "shared/http/scan.h"
#include "shared/http/server.h"

#include <llhttp.h>

#define HTTP_READ_CHUNK_BYTES ((size_t)64 << 10)
#define HTTP_LINGER_MS 1000
/* Large enough for the longest head of an answer. */
#define HTTP_HEAD_MAX_BYTES 2048
#define HTTP_SPARE_BODY_MAX_BYTES ((size_t)8 << 20)

struct http_listener {
    struct http_listener *next;
    struct http_server *server;
    uv_poll_t poll;
    int fd;
    http_guard_fn guard; /* NULL: everybody is welcome */
    bool is_polling;
};

struct http_server {
    uv_loop_t *loop;
    struct http_server_options options;
    uint64_t max_buffered_bytes; /* of all bodies together */
    uint64_t buffered_bytes;
    uint64_t queued_bytes; /* of answers that the sockets have not taken */
    struct http_listener *listeners;
    struct http_conn *conns; /* doubly linked */
    uint32_t conn_count;
    uint32_t pending_count;
    uint32_t open_handles; /* uv handles that still have to close before the server is freed */
    uv_timer_t tick;
    bool accepting;
    bool is_full; /* a listener waits for a connection to close or to become idle */
    bool closing;
    struct http_request *free_requests;
    uint32_t free_request_count;
    char *spare_body; /* one large buffer kept, so that its pages stay mapped */
    size_t spare_body_bytes;
    llhttp_settings_t settings;
    char read_buf[HTTP_READ_CHUNK_BYTES];
};

enum http_conn_state {
    CONN_HEAD,   /* waiting for, or reading, a request's head */
    CONN_BODY,   /* reading its body */
    CONN_BUSY,   /* the handler has it */
    CONN_STREAM, /* its answer goes on until one side closes */
    CONN_LINGER, /* answered for the last time; reading until the client closes too */
    CONN_CLOSED, /* the handle is closing */
};

struct http_conn {
    struct http_conn *next, *prev;
    struct http_server *server;
    union {
        uv_handle_t handle;
        uv_stream_t stream;
        uv_tcp_t tcp;
        uv_pipe_t pipe;
    } uv;
    uv_shutdown_t shutdown;
    enum http_conn_state state;
    uint64_t state_since_ms; /* loop time; of CONN_HEAD: of the first byte, or of becoming idle */
    uint64_t write_progress_ms;
    size_t write_queue_seen;
    struct http_scan scan;
    llhttp_t parser;
    bool message_complete;
    bool keep_alive;
    bool is_feeding;
    bool is_reading;
    bool is_eof;
    bool has_trailer;
    const char *refusal; /* by the listener's guard; NULL: served */
    bool is_guarded;     /* the listener has one */
    int reject_status;   /* set by a parser callback: answer this and close */
    char reject_text[96];
    uint64_t framing_bytes; /* of a chunked body */
    struct http_request *req;
    struct http_stream *stream; /* owned, in CONN_STREAM */
    /* Pipelined bytes that wait for the request at hand: [ahead_off, ahead_len) of the buffer. */
    char *ahead;
    size_t ahead_off, ahead_len, ahead_size;
};

struct http_header {
    uint32_t name, value; /* offsets into the request's text */
};

struct http_request {
    struct http_request *next_free;
    struct http_server *server;
    struct http_conn *conn; /* NULL once the connection is gone */
    bool is_handed_over;    /* the handler has it: counted as pending */
    void *data;
    bool is_gone;
    bool is_head_method;
    uint8_t http_minor;
    uint8_t method;
    uint64_t first_byte_ns, complete_ns;
    char *body;
    size_t body_len, body_size;
    bool body_length_known;
    uint64_t counted_bytes; /* of server->buffered_bytes */
    const char *extra[HTTP_EXTRA_HEADERS_MAX];
    uint32_t extra_count;
    char *text; /* path, query, headers; NUL-terminated pieces */
    uint32_t text_len, text_size;
    uint32_t query; /* offset of the query in text */
    uint32_t header_count;
    struct http_header *headers;
    uint32_t headers_size;
    enum { PIECE_NONE, PIECE_URL, PIECE_NAME, PIECE_VALUE } piece;
};

/* server.c */
void http_server_conn_gone(struct http_server *s);
void http_server_resume_accepting(struct http_server *s);
void http_server_maybe_free(struct http_server *s);

/* server_conn.c */
/* Takes an accepted, non-blocking socket; its listener's `guard` (NULL: none) judges it. Returns 0 or -errno. */
int http_conn_open(struct http_server *s, int fd, http_guard_fn guard);
void http_conn_close(struct http_conn *c);
/* Closes or rejects a connection whose deadline has passed. */
void http_conn_check_deadline(struct http_conn *c, uint64_t now_ms);
/* The request at hand was answered by a stream: what the client sends from now on is ignored. */
void http_conn_begin_stream(struct http_conn *c, struct http_stream *stream);
/* The request at hand was answered: take the next one, or close. */
void http_conn_answered(struct http_conn *c);
/* Unsent answers became fewer. */
void http_conn_on_written(struct http_conn *c);
bool http_conn_is_idle(const struct http_conn *c);
/* It has begun a request and does not end it, or was answered for the last time and does not close, for a while. */
bool http_conn_is_dawdling(const struct http_conn *c);

/* server_stream.c */
/* The connection is closing: tells the owner and frees it. Accepts NULL. */
void http_stream_end(struct http_stream *stream);

/* server_parse.c */
void http_parse_init_settings(llhttp_settings_t *settings);
/* Feeds bytes to the connection's parser. Returns how many were used; sets message_complete or
 * reject_status. */
size_t http_parse_feed(struct http_conn *c, char *data, size_t len);
/* Notes why the request is refused; the connection answers so and closes. Returns -1. */
int http_parse_refuse(struct http_conn *c, int status, const char *text);

/* server_write.c */
/* Writes an answer (takes `owned` if not NULL, else copies what cannot be sent at once). */
void http_conn_write(struct http_conn *c, const char *head, size_t head_len, const char *body, size_t body_len,
                     char *owned);
/* "OK", "Not Found", …; "Unknown" for the rest. */
const char *http_status_text(int status);
/* Builds an answer's head into buf; body_len HTTP_LENGTH_UNKNOWN: until the connection closes. Returns its length. */
#define HTTP_LENGTH_UNKNOWN SIZE_MAX
size_t http_format_head(char *buf, size_t size, int status, const char *content_type, size_t body_len,
                        const char *const *extra, size_t extra_count, const char *connection);

/* server_request.c */
struct http_request *http_request_new(struct http_conn *c);
void http_request_free(struct http_request *req);
/* Appends bytes to the text. Returns 0 or -ENOMEM. */
int http_request_append(struct http_request *req, const char *at, size_t len);
/* Makes room for a body of `total` bytes. Returns 0 or -ENOMEM. */
int http_request_reserve_body(struct http_request *req, size_t total);

#endif
