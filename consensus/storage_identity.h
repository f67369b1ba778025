/* The identity file: whose storage this is, and how far its forming has come. */
#ifndef OC_CONSENSUS_STORAGE_IDENTITY_H
#define OC_CONSENSUS_STORAGE_IDENTITY_H

#include "consensus/storage.h"

#include <stdbool.h>
#include <stdint.h>

#define IDENTITY_FILE "identity"

struct identity_file {
    struct storage_identity id;
    uint64_t salt;      /* in every record header */
    bool bootstrapping; /* a bootstrap was begun and not finished: what is there is void */
    bool has_log;       /* something was written to the log once: it must be there for ever */
};

/* A new one with random uuid and salt. Returns 0 or -errno. */
int identity_file_make(struct identity_file *f, const char *name);
/* Durable when it returns 0. */
int identity_file_write(const struct identity_file *f, int dir_fd);
/* Returns 0, -ENOENT, OC_ECORRUPT, OC_EVERSION or -errno. */
int identity_file_read(struct identity_file *f, int dir_fd);
/* n random bytes. Returns 0 or -errno. */
int identity_random(void *data, size_t n);

#endif
