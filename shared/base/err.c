/* Texts of error codes. */
#include "shared/base/err.h"

#include <string.h>

const char *err_text(int code)
{
    switch (code) {
    case 0:
        return "success";
#define OC_ERR_CASE(name, text)                                                                                        \
    case name:                                                                                                         \
        return text;
        OC_ERR_LIST(OC_ERR_CASE)
#undef OC_ERR_CASE
    default:
        break;
    }
    if (code < 0 && code > OC_ERR_BASE) {
        /* Unlike strerror, this one is safe in threads. */
        const char *text = strerrordesc_np(-code);
        if (text)
            return text;
    }
    return "unknown error";
}
