/* Texts of others on the operator's terminal. */
#include "rpcd/ctl/conductorctl.h"

#include <string.h>

/* The length of a colour's sequence (ESC [ numbers m) at the beginning; 0: there is none. */
static size_t colour_len(const char *at)
{
    if (at[0] != '\033' || at[1] != '[')
        return 0;
    const size_t len = 2 + strspn(at + 2, "0123456789;:");
    return at[len] == 'm' ? len + 1 : 0;
}

/* U+0080 to U+009F: some terminals take them for the beginning of a command, like an escape. */
static bool is_wide_control(const unsigned char *c)
{
    return c[0] == 0xc2 && c[1] >= 0x80 && c[1] <= 0x9f;
}

void ctl_make_plain(char *text, bool has_lines)
{
    char *to = text;
    while (*text != '\0') {
        const unsigned char *c = (const unsigned char *)text;
        const bool is_wide = is_wide_control(c);
        const bool is_kept = c[0] == '\t' || (has_lines && c[0] == '\n');
        *to++ = (c[0] < 0x20 && !is_kept) || c[0] == 0x7f || is_wide ? '?' : *text;
        text += is_wide ? 2 : 1;
    }
    *to = '\0';
}

void ctl_print_plain(FILE *out, const char *text, bool is_terminal)
{
    bool is_coloured = false;
    while (*text != '\0') {
        const unsigned char *c = (const unsigned char *)text;
        const size_t colour = colour_len(text);
        const bool is_wide = is_wide_control(c);
        if (colour > 0) {
            if (is_terminal)
                (void)fwrite(text, 1, colour, out);
            is_coloured = is_terminal;
            text += colour;
        } else if (is_wide || (c[0] < 0x20 && c[0] != '\t') || c[0] == 0x7f) {
            (void)fprintf(out, "\\x%02x", c[is_wide]);
            text += is_wide ? 2 : 1;
        } else {
            (void)fputc(c[0], out);
            text++;
        }
    }
    if (is_coloured)
        (void)fputs("\033[0m", out);
}
