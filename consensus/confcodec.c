/* Configurations in the library's encoding, read with every bound checked. */
#include "consensus/confcodec.h"
#include "shared/base/err.h"

#include <endian.h>
#include <stdbool.h>
#include <string.h>

enum { CONF_FORMAT = 1 };

static bool is_known_role(uint8_t role)
{
    return role == MEMBER_STANDBY || role == MEMBER_VOTER || role == MEMBER_SPARE;
}

/* Reads one server at *pos. */
static int decode_member(const uint8_t *data, size_t len, size_t *pos, struct member *m)
{
    uint64_t id;
    if (len - *pos < sizeof id)
        return OC_EPROTO;
    memcpy(&id, data + *pos, sizeof id);
    m->id = le64toh(id);
    *pos += sizeof id;
    if (m->id == 0)
        return OC_EPROTO;
    const uint8_t *text = data + *pos;
    const uint8_t *end = memchr(text, 0, len - *pos);
    if (end == NULL || end == text || (size_t)(end - text) >= sizeof m->address)
        return OC_EPROTO;
    size_t n = (size_t)(end - text);
    for (size_t i = 0; i < n; i++)
        if (text[i] < 0x20 || text[i] == 0x7f)
            return OC_EPROTO;
    memcpy(m->address, text, n + 1);
    *pos += n + 1;
    if (*pos >= len || !is_known_role(data[*pos]))
        return OC_EPROTO;
    m->role = (enum member_role)data[*pos];
    *pos += 1;
    return 0;
}

int confcodec_decode(const uint8_t *data, size_t len, struct membership *ret_membership)
{
    struct membership m = {0};
    uint64_t count;
    size_t pos = 1 + sizeof count;

    if (len < pos || len % 8 != 0 || data[0] != CONF_FORMAT)
        return OC_EPROTO;
    memcpy(&count, data + 1, sizeof count);
    count = le64toh(count);
    if (count == 0 || count > CLUSTER_SERVERS_MAX)
        return OC_EPROTO;
    for (m.count = 0; m.count < count; m.count++) {
        struct member *member = &m.members[m.count];
        int rc = decode_member(data, len, &pos, member);
        if (rc != 0)
            return rc;
        for (unsigned i = 0; i < m.count; i++)
            if (m.members[i].id == member->id || strcmp(m.members[i].address, member->address) == 0)
                return OC_EPROTO;
    }
    if (len - pos >= 8)
        return OC_EPROTO;
    for (; pos < len; pos++)
        if (data[pos] != 0)
            return OC_EPROTO;
    *ret_membership = m;
    return 0;
}

size_t confcodec_len(const struct membership *m)
{
    size_t n = 1 + sizeof(uint64_t);
    for (unsigned i = 0; i < m->count; i++)
        n += sizeof(uint64_t) + strlen(m->members[i].address) + 2;
    return (n + 7) & ~(size_t)7;
}

void confcodec_encode(const struct membership *m, uint8_t *dst)
{
    uint64_t count = htole64(m->count);
    memset(dst, 0, confcodec_len(m));
    *dst++ = CONF_FORMAT;
    memcpy(dst, &count, sizeof count);
    dst += sizeof count;
    for (unsigned i = 0; i < m->count; i++) {
        uint64_t id = htole64(m->members[i].id);
        size_t n = strlen(m->members[i].address) + 1;
        memcpy(dst, &id, sizeof id);
        dst += sizeof id;
        memcpy(dst, m->members[i].address, n);
        dst += n;
        *dst++ = (uint8_t)m->members[i].role;
    }
}
