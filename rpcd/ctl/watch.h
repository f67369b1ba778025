/* One frame of status --watch. Pure: what is shown follows from the arguments alone. */
#ifndef OC_RPCD_CTL_WATCH_H
#define OC_RPCD_CTL_WATCH_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#define WATCH_SAMPLES_MAX 256

struct watch_frame {
    const char *rpc;
    const cJSON *status; /* the newest; NULL: none yet */
    const cJSON *events; /* an answer of conductor_events, or NULL */
    uint64_t lost_ms;    /* since when it does not answer; 0: it does */
    bool is_utf8;
    unsigned columns, rows;
    uint32_t samples_us[WATCH_SAMPLES_MAX]; /* latencies of this node's commits, oldest first */
    unsigned sample_count;
};

/* Adds a sample; the oldest goes when there is no room. */
void watch_add_sample(struct watch_frame *f, uint64_t us);
/* Writes the frame with cursor movements, no line longer than `columns` and not more than `rows` of them. */
void watch_render(FILE *out, const struct watch_frame *f);
/* The newest samples as bars, at most `width`, the highest one full. */
void watch_render_bars(FILE *out, const struct watch_frame *f, unsigned width);

#endif
