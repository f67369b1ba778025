/* Records and the file's header. */
#include "shared/flight/record.h"

#include "shared/base/crc32c.h"
#include "shared/base/err.h"

#include <string.h>

#define HEADER_MAGIC UINT64_C(0x3154484749464f43) /* "COFIGHT1" */

struct header {
    uint64_t magic;
    uint32_t version;
    uint32_t record_bytes;
    uint64_t slots;
    uint8_t reserved[FLIGHT_RECORD_BYTES - 28];
    uint32_t checksum;
};
_Static_assert(sizeof(struct header) == FLIGHT_RECORD_BYTES, "the header is as long as a record");

static const char *const kind_names[FLIGHT_KIND_COUNT] = {
#define X(name, text) [FLIGHT_##name] = (text),
    FLIGHT_KINDS(X)
#undef X
};

const char *flight_kind_name(uint32_t kind)
{
    return kind < FLIGHT_KIND_COUNT && kind_names[kind] ? kind_names[kind] : "unknown";
}

void flight_record_seal(struct flight_record *r)
{
    r->subject[sizeof r->subject - 1] = '\0';
    r->text[sizeof r->text - 1] = '\0';
    r->detail[sizeof r->detail - 1] = '\0';
    r->checksum = crc32c(0, r, offsetof(struct flight_record, checksum));
}

bool flight_record_is_valid(const struct flight_record *r)
{
    return r->sequence != 0 && r->checksum == crc32c(0, r, offsetof(struct flight_record, checksum)) &&
           r->subject[sizeof r->subject - 1] == '\0' && r->text[sizeof r->text - 1] == '\0' &&
           r->detail[sizeof r->detail - 1] == '\0';
}

static bool is_continuation(char c)
{
    return ((unsigned char)c & 0xc0) == 0x80;
}

void flight_copy_text(char *dst, size_t size, const char *text)
{
    size_t len = strlen(text);
    size_t end = len < size ? len : size - 1;
    size_t begin = end;

    /* Back to the beginning of a character that would be cut; a longer run of such bytes is no character. */
    while (end < len && begin > 0 && end - begin < 3 && is_continuation(text[begin]))
        begin--;
    if (!is_continuation(text[begin]))
        end = begin;
    for (size_t i = 0; i < end; i++) {
        unsigned char c = (unsigned char)text[i];
        dst[i] = (c < 0x20 && c != '\n') || c == 0x7f ? ' ' : text[i];
    }
    dst[end] = '\0';
}

struct flight_record flight_record_make(enum flight_kind kind, const char *subject, const char *text)
{
    struct flight_record r;

    memset(&r, 0, sizeof r);
    r.kind = kind;
    flight_copy_text(r.subject, sizeof r.subject, subject);
    flight_copy_text(r.text, sizeof r.text, text);
    return r;
}

size_t flight_slot_of(uint64_t sequence)
{
    return (size_t)((sequence - 1) % FLIGHT_SLOTS);
}

void flight_header_make(void *ret_header)
{
    struct header h;

    memset(&h, 0, sizeof h);
    h.magic = HEADER_MAGIC;
    h.version = FLIGHT_VERSION;
    h.record_bytes = FLIGHT_RECORD_BYTES;
    h.slots = FLIGHT_SLOTS;
    h.checksum = crc32c(0, &h, offsetof(struct header, checksum));
    memcpy(ret_header, &h, sizeof h);
}

int flight_header_check(const void *header)
{
    struct header h;

    memcpy(&h, header, sizeof h);
    if (h.magic != HEADER_MAGIC || h.checksum != crc32c(0, &h, offsetof(struct header, checksum)))
        return OC_ECORRUPT;
    if (h.version != FLIGHT_VERSION || h.record_bytes != FLIGHT_RECORD_BYTES || h.slots != FLIGHT_SLOTS)
        return OC_EVERSION;
    return 0;
}
