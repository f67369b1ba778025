/* The files of rpcd/page/, as they are, each with a NUL behind its bytes. */
#ifndef OC_RPCD_PAGE_FILES_H
#define OC_RPCD_PAGE_FILES_H

#include <stddef.h>

extern const unsigned char page_html[], page_css[], page_js[];
/* Without the NUL. */
extern const size_t page_html_bytes, page_css_bytes, page_js_bytes;

#endif
