/* Members of JSON objects (see field.h). */
#include "rpcd/ctl/field.h"

#include "rpcd/ctl/conductorctl.h"

const cJSON *field_get(const cJSON *object, const char *key)
{
    return cJSON_GetObjectItemCaseSensitive(object, key);
}

const char *field_raw(const cJSON *object, const char *key)
{
    const char *s = cJSON_GetStringValue(field_get(object, key));
    return s != NULL ? s : "";
}

static const char *clean(const cJSON *object, const char *key, bool has_lines)
{
    char *s = cJSON_GetStringValue(field_get(object, key));
    if (s == NULL)
        return "";
    ctl_make_plain(s, has_lines);
    return s;
}

const char *field_text(const cJSON *object, const char *key)
{
    return clean(object, key, false);
}

const char *field_lines(const cJSON *object, const char *key)
{
    return clean(object, key, true);
}

uint64_t field_number(const cJSON *object, const char *key)
{
    const cJSON *item = field_get(object, key);
    return cJSON_IsNumber(item) && item->valuedouble > 0 ? (uint64_t)item->valuedouble : 0;
}

bool field_is(const cJSON *object, const char *key)
{
    return cJSON_IsTrue(field_get(object, key)) != 0;
}
