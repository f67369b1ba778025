/* Members of JSON objects (see field.h). */
#include "rpcd/ctl/field.h"

const cJSON *field_get(const cJSON *object, const char *key)
{
    return cJSON_GetObjectItemCaseSensitive(object, key);
}

const char *field_text(const cJSON *object, const char *key)
{
    const char *s = cJSON_GetStringValue(field_get(object, key));
    return s != NULL ? s : "";
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
