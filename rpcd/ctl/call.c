/* conductorctl's one JSON-RPC call. */
#include "rpcd/ctl/conductorctl.h"
#include "rpcd/ctl/field.h"
#include "rpcd/jsonrpc.h"
#include "rpcd/methods.h"

#include <curl/curl.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* Longer than any method of rpcd takes. */
#define CALL_TIMEOUT_MS 40000L
#define CONNECT_TIMEOUT_MS 3000L
#define ANSWER_MAX_BYTES ((size_t)128 << 20)

struct answer {
    char *at;
    size_t len;
};

static size_t on_data(char *data, size_t size, size_t count, void *ctx)
{
    struct answer *a = ctx;
    const size_t len = size * count;
    char *at = a->len + len > ANSWER_MAX_BYTES ? NULL : realloc(a->at, a->len + len + 1);
    if (at == NULL)
        return 0;
    memcpy(at + a->len, data, len);
    a->at = at;
    a->len += len;
    a->at[a->len] = '\0';
    return len;
}

__attribute__((format(printf, 2, 3))) static void complain(FILE *err, const char *fmt, ...)
{
    va_list args;
    if (err == NULL)
        return;
    va_start(args, fmt);
    (void)fputs("conductorctl: ", err);
    (void)vfprintf(err, fmt, args);
    va_end(args);
}

/* ---- what takes a while says so, on a terminal ---- */

struct progress {
    const char *method;
    uint64_t begin_ms, told_s;
};

static int on_progress(void *ctx, curl_off_t to_get, curl_off_t got, curl_off_t to_send, curl_off_t sent)
{
    struct progress *p = ctx;
    const uint64_t seconds = (ctl_now_ms() - p->begin_ms) / 1000;
    (void)to_get, (void)got, (void)to_send, (void)sent;
    if (seconds > p->told_s) {
        (void)fprintf(stderr, "\r%s: %" PRIu64 " s\033[K", p->method, seconds);
        p->told_s = seconds;
    }
    return 0;
}

/* Only for the operator's own calls, not for what is asked again and again. */
static void watch_progress(CURL *e, struct progress *p)
{
    if (!isatty(STDERR_FILENO))
        return;
    p->begin_ms = ctl_now_ms();
    (void)curl_easy_setopt(e, CURLOPT_XFERINFOFUNCTION, on_progress);
    (void)curl_easy_setopt(e, CURLOPT_XFERINFODATA, p);
    (void)curl_easy_setopt(e, CURLOPT_NOPROGRESS, 0L);
}

/* Why nobody is reached at a Unix socket: an errno, or 0 if one can connect now. curl speaks of a host and a port, and
 * not every version of it keeps the system's reason. */
static int find_socket_problem(const char *path)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof addr.sun_path)
        return ENAMETOOLONG;
    memcpy(addr.sun_path, path, strlen(path));
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return errno;
    const int rc = connect(fd, (const struct sockaddr *)&addr, sizeof addr) < 0 ? errno : 0;
    (void)close(fd);
    return rc;
}

static int post(FILE *err, const char *url, const char *body, long timeout_ms, struct progress *progress,
                struct answer *ret)
{
    char error[CURL_ERROR_SIZE] = "";
    long status = 0;
    int code = CTL_UNREACHABLE;
    CURL *e = curl_easy_init();
    struct curl_slist *headers = curl_slist_append(NULL, "Content-Type: application/json");
    if (e == NULL || headers == NULL)
        goto out;
    const bool is_socket = url[0] == '/';
    (void)curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
    (void)curl_easy_setopt(e, CURLOPT_URL, is_socket ? "http://localhost/" : url);
    if (is_socket) {
        (void)curl_easy_setopt(e, CURLOPT_UNIX_SOCKET_PATH, url);
        (void)curl_easy_setopt(e, CURLOPT_PROXY, ""); /* whatever the environment says */
    }
    (void)curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https");
    (void)curl_easy_setopt(e, CURLOPT_HTTPHEADER, headers);
    (void)curl_easy_setopt(e, CURLOPT_POSTFIELDS, body);
    (void)curl_easy_setopt(e, CURLOPT_ERRORBUFFER, error);
    (void)curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_data);
    (void)curl_easy_setopt(e, CURLOPT_WRITEDATA, ret);
    (void)curl_easy_setopt(e, CURLOPT_TIMEOUT_MS, timeout_ms);
    (void)curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_TIMEOUT_MS);
    if (timeout_ms == CALL_TIMEOUT_MS)
        watch_progress(e, progress);
    const CURLcode rc = curl_easy_perform(e);
    if (progress->told_s > 0)
        (void)fputs("\r\033[K", stderr);
    (void)curl_easy_getinfo(e, CURLINFO_RESPONSE_CODE, &status);
    const int why = rc == CURLE_COULDNT_CONNECT && is_socket ? find_socket_problem(url) : 0;
    if (why != 0)
        complain(err, "cannot reach %s: %s\n", url, strerror(why));
    else if (rc != CURLE_OK)
        complain(err, "cannot reach %s: %s\n", url, error[0] != '\0' ? error : curl_easy_strerror(rc));
    else if (status == 403) {
        if (ret->at != NULL) {
            ret->at[strcspn(ret->at, "\r\n")] = '\0';
            ctl_make_plain(ret->at, false);
        }
        complain(err, "%s: refused: %.200s\n", url, ret->at != NULL ? ret->at : "forbidden");
        code = CTL_REFUSED;
    } else if (status != 200)
        complain(err, "%s answered with HTTP status %ld: is it an op-conductor's RPC?\n", url, status);
    else
        code = CTL_OK;
out:
    curl_slist_free_all(headers);
    curl_easy_cleanup(e);
    return code;
}

/* A conductor's method is not found: who answered is another program, most often the execution client, as its port is
 * our default too. */
static bool is_unknown_there(const cJSON *error, const char *method)
{
    const cJSON *number = cJSON_GetObjectItemCaseSensitive(error, "code");
    return cJSON_IsNumber(number) && (int)number->valuedouble == JSONRPC_METHOD_NOT_FOUND &&
           strncmp(method, "conductor_", 10) == 0 && method_find(method, strlen(method)) != NULL;
}

int ctl_call(FILE *err, const char *rpc, const char *method, const char *params, cJSON **ret_result)
{
    return ctl_call_within(err, rpc, method, params, CALL_TIMEOUT_MS, ret_result);
}

int ctl_call_within(FILE *err, const char *rpc, const char *method, const char *params, long timeout_ms,
                    cJSON **ret_result)
{
    struct answer answer = {0};
    struct progress progress = {.method = method};
    const size_t size = strlen(method) * 6 + strlen(params) + 128;
    char *body = malloc(size);
    cJSON *root = NULL, *name = cJSON_CreateString(method);
    char *name_text = cJSON_PrintUnformatted(name);
    int code = CTL_UNREACHABLE;
    if (body == NULL || name_text == NULL)
        goto out;
    (void)snprintf(body, size, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":%s,\"params\":%s}", name_text, params);
    code = post(err, rpc, body, timeout_ms, &progress, &answer);
    if (code != CTL_OK)
        goto out;
    root = cJSON_ParseWithLength(answer.at != NULL ? answer.at : "", answer.len);
    const cJSON *error = cJSON_GetObjectItemCaseSensitive(root, "error");
    if (error != NULL && is_unknown_there(error, method)) {
        complain(err, "%s does not know %s: is it an op-conductor's RPC?\n", rpc, method);
        code = CTL_UNREACHABLE;
        goto out;
    }
    if (error != NULL) {
        const char *text = field_text(error, "message");
        complain(err, "refused: %s\n", text[0] != '\0' ? text : "no reason given");
        code = CTL_REFUSED;
        goto out;
    }
    *ret_result = cJSON_DetachItemFromObjectCaseSensitive(root, "result");
    if (*ret_result == NULL) {
        complain(err, "%s gave no JSON-RPC answer: is it an op-conductor's RPC?\n", rpc);
        code = CTL_UNREACHABLE;
    }
out:
    cJSON_Delete(root);
    cJSON_Delete(name);
    free(name_text);
    free(body);
    free(answer.at);
    return code;
}

int ctl_call_again(const struct ctl_request *req, const char *params, bool can_wait, bool *is_lost, cJSON **ret_result)
{
    const bool was_lost = *is_lost;
    const int code = ctl_call(was_lost ? NULL : stderr, req->rpc, req->method, params, ret_result);
    *is_lost = code == CTL_UNREACHABLE && can_wait;
    if (*is_lost && !was_lost)
        complain(stderr, "waiting for it to come back\n");
    return *is_lost ? CTL_OK : code;
}
