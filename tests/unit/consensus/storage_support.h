/* What the tests of the storage share: a directory of their own, writing and reading back a log. */
#ifndef OC_TESTS_STORAGE_SUPPORT_H
#define OC_TESTS_STORAGE_SUPPORT_H

#include "consensus/storage.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SELF_ID UINT64_C(77)
#define SELF_ADDRESS "a@host:1"

struct fixture {
    char dir[64];
    struct storage *storage;
    struct driver_recovered recovered;
    char text[STORAGE_TEXT_SIZE];
};

int fixture_setup(void **state);
int fixture_teardown(void **state);

int fixture_open(struct fixture *f); /* storage_open with the smallest segments */
void fixture_close(struct fixture *f);
/* open + recover; on success the recovered entries are in f->recovered (freed by fixture_close). */
int fixture_recover(struct fixture *f);
/* open, bootstrap if pristine, recover, start */
void fixture_run(struct fixture *f);
/* Appends and waits until durable. The payload depends on the index only. */
void fixture_append(struct fixture *f, uint64_t index, uint64_t term, size_t len);
struct storage_event fixture_wait(struct fixture *f);
/* Is entry `index` there as fixture_append writes it? */
bool fixture_has(const struct fixture *f, uint64_t index, size_t len);
/* The bytes that an appended entry of this index has. */
void entry_fill(struct entry *e, uint64_t index);
struct snapshot *fixture_snapshot(uint64_t index, uint64_t term, size_t len);

/* Files: the path of one in the directory, its bytes, a change of it. */
const char *file_path(const struct fixture *f, const char *name);
size_t file_bytes(const struct fixture *f, const char *name);
void file_change(const struct fixture *f, const char *name, size_t offset, const void *data, size_t len);
void file_read(const struct fixture *f, const char *name, size_t offset, void *data, size_t len);
/* A copy of all files, and back. */
void files_save(const struct fixture *f);
void files_restore(const struct fixture *f);
/* How many files' names end so. */
unsigned files_count(const struct fixture *f, const char *end);

#endif
