/* Server ids, address strings and looking members up (see identity.h). */
#include "consensus/identity.h"

#include "shared/base/err.h"

#include <stdio.h>
#include <string.h>

uint64_t identity_raft_id(const char *name, const uint8_t uuid[STORAGE_UUID_BYTES])
{
    uint64_t h = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < STORAGE_UUID_BYTES; i++)
        h = (h ^ uuid[i]) * UINT64_C(0x100000001b3);
    for (const unsigned char *p = (const unsigned char *)name; *p; p++)
        h = (h ^ *p) * UINT64_C(0x100000001b3);
    return h ? h : 1;
}

int identity_check_name(const char *name)
{
    size_t n = strnlen(name, SERVER_ID_SIZE);
    if (n == 0 || n >= SERVER_ID_SIZE)
        return OC_ESYNTAX;
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)name[i] < 0x20 || name[i] == 0x7f || name[i] == '@')
            return OC_ESYNTAX;
    return 0;
}

int identity_format_address(const char *name, const char *host_port, char *ret_address, size_t size)
{
    int n = snprintf(ret_address, size, "%s@%s", name, host_port);
    return n < 0 || (size_t)n >= size ? OC_ERANGE : 0;
}

int identity_parse_address(const char *address, char ret_name[SERVER_ID_SIZE], char ret_host_port[SERVER_ADDR_SIZE])
{
    const char *at = strchr(address, '@');
    if (!at || at == address || at - address >= SERVER_ID_SIZE || !at[1] || strlen(at + 1) >= SERVER_ADDR_SIZE)
        return OC_ESYNTAX;
    if (ret_name) {
        memcpy(ret_name, address, (size_t)(at - address));
        ret_name[at - address] = '\0';
    }
    if (ret_host_port)
        memcpy(ret_host_port, at + 1, strlen(at + 1) + 1);
    return 0;
}

/* A port of decimal digits, 1 to 65535. */
static int parse_port(const char *text, uint16_t *ret_port)
{
    unsigned long value = 0;
    if (!*text)
        return OC_ESYNTAX;
    for (const char *p = text; *p; p++) {
        if (*p < '0' || *p > '9')
            return OC_ESYNTAX;
        value = value * 10 + (unsigned long)(*p - '0');
        if (value > UINT16_MAX)
            return OC_ESYNTAX;
    }
    if (value == 0)
        return OC_ESYNTAX;
    *ret_port = (uint16_t)value;
    return 0;
}

int identity_split_host_port(const char *host_port, char *ret_host, size_t host_size, uint16_t *ret_port,
                             const char **ret_reason)
{
    const char *host = host_port, *end, *colon;
    if (host_port[0] == '[') {
        host = host_port + 1;
        end = strchr(host, ']');
        *ret_reason = "missing ']' in address";
        if (!end)
            return OC_ESYNTAX;
        colon = end + 1;
        *ret_reason = "missing port in address";
        if (*colon != ':')
            return OC_ESYNTAX;
    } else {
        colon = strchr(host_port, ':');
        *ret_reason = "missing port in address";
        if (!colon)
            return OC_ESYNTAX;
        *ret_reason = "too many colons in address";
        if (strchr(colon + 1, ':'))
            return OC_ESYNTAX;
        end = colon;
    }
    *ret_reason = "no such host";
    if (end == host || (size_t)(end - host) >= host_size)
        return OC_ESYNTAX;
    *ret_reason = "invalid port";
    if (parse_port(colon + 1, ret_port))
        return OC_ESYNTAX;
    memcpy(ret_host, host, (size_t)(end - host));
    ret_host[end - host] = '\0';
    return 0;
}

int identity_join_host_port(const char *host, uint16_t port, char *ret_host_port, size_t size)
{
    int n = strchr(host, ':') ? snprintf(ret_host_port, size, "[%s]:%u", host, (unsigned)port)
                              : snprintf(ret_host_port, size, "%s:%u", host, (unsigned)port);
    return n < 0 || (size_t)n >= size ? OC_ERANGE : 0;
}

const struct member *identity_find_name(const struct membership *m, const char *name)
{
    size_t n = strlen(name);
    for (unsigned i = 0; i < m->count; i++)
        if (strncmp(m->members[i].address, name, n) == 0 && m->members[i].address[n] == '@')
            return &m->members[i];
    return NULL;
}

const struct member *identity_find_id(const struct membership *m, uint64_t id)
{
    for (unsigned i = 0; i < m->count; i++)
        if (m->members[i].id == id)
            return &m->members[i];
    return NULL;
}

const struct member *identity_find_host_port(const struct membership *m, const char *host_port)
{
    for (unsigned i = 0; i < m->count; i++) {
        const char *at = strchr(m->members[i].address, '@');
        if (at && strcmp(at + 1, host_port) == 0)
            return &m->members[i];
    }
    return NULL;
}
