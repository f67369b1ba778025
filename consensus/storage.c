/* The storage directory: lock, identity, recovery, and the disk half of the driver's interface. */
#include "consensus/storage.h"
#include "consensus/confcodec.h"
#include "consensus/disk.h"
#include "consensus/diskfile.h"
#include "consensus/meta.h"
#include "consensus/segment.h"
#include "consensus/snapfile.h"
#include "consensus/storage_identity.h"
#include "shared/base/err.h"
#include "shared/base/fd.h"
#include "shared/config/worker_config.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* Entries at and before the snapshot that stay in memory after a start, for slow followers. */
enum { RECOVER_TRAILING = 64 };
#define LOCK_FILE "lock"

struct storage {
    char dir[1024];
    int dir_fd, lock_fd;
    struct identity_file identity;
    struct meta meta;
    struct segments segments;
    struct disk *disk;
    bool is_pristine;
    bool holds_log; /* entries or a snapshot were read back */
    bool is_failed; /* what the loop itself writes failed, and storage_poll has told so */
    /* while recovering */
    struct entry **entries;
    size_t entry_count, entry_room;
    uint64_t first_index, keep_from;
    const struct snapshot *snapshot; /* borrowed; NULL: none */
};

__attribute__((format(printf, 4, 5))) static int say(int rc, char *text, size_t size, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(text, size, format, args);
    va_end(args);
    return rc;
}

/* ---- opening ---- */

static bool ends_with(const char *name, const char *end)
{
    size_t n = strlen(name), m = strlen(end);
    return n > m && strcmp(name + n - m, end) == 0;
}

/* Looks at what is there: removes left-over temporary files, reports data and strangers. */
static int look_around(struct storage *s, bool *ret_has_data, char ret_foreign[256])
{
    struct dirent *entry;
    uint64_t index;
    int rc = 0;
    int fd = openat(s->dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);

    *ret_has_data = false;
    ret_foreign[0] = 0;
    if (dir == NULL) {
        rc = -errno;
        if (fd >= 0)
            close(fd);
        return rc;
    }
    while (rc == 0 && (entry = readdir(dir)) != NULL) {
        const char *name = entry->d_name;
        if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0 || strcmp(name, LOCK_FILE) == 0 ||
            strcmp(name, IDENTITY_FILE) == 0 || strcmp(name, META_FILE) == 0 || strcmp(name, "lost+found") == 0)
            continue;
        if (ends_with(name, ".tmp"))
            rc = unlinkat(s->dir_fd, name, 0) != 0 ? -errno : 0;
        else if (segment_parse_name(name, &index) || snapfile_parse_name(name, &index) ||
                 strcmp(name, SEGMENT_TRUNCATE_FILE) == 0)
            *ret_has_data = true;
        else
            snprintf(ret_foreign, 256, "%s", name);
    }
    closedir(dir);
    return rc;
}

/* The directory with all its parents, as upstream makes them. Returns 0 or -errno. */
static int make_directory(const char *dir)
{
    char path[CONFIG_PATH_SIZE + SERVER_ID_SIZE];
    size_t len = strlen(dir);

    if (len >= sizeof path)
        return -ENAMETOOLONG;
    memcpy(path, dir, len + 1);
    for (char *slash = strchr(path + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (mkdir(path, 0755) != 0 && errno != EEXIST)
            return -errno;
        *slash = '/';
    }
    return mkdir(path, 0700) != 0 && errno != EEXIST ? -errno : 0;
}

static int lock_directory(struct storage *s, char *text, size_t size)
{
    int rc = make_directory(s->dir);
    if (rc < 0)
        return say(rc, text, size, "%s cannot be made: %s (make it, or give --raft.storage.dir another path)", s->dir,
                   err_text(rc));
    s->dir_fd = open(s->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (s->dir_fd < 0) {
        rc = -errno;
        return say(rc, text, size, "%s cannot be opened: %s", s->dir, err_text(rc));
    }
    s->lock_fd = openat(s->dir_fd, LOCK_FILE, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (s->lock_fd < 0) {
        rc = -errno;
        return say(rc, text, size, "%s is not writable for this user: %s", s->dir, err_text(rc));
    }
    if (flock(s->lock_fd, LOCK_EX | LOCK_NB) != 0) {
        rc = -errno;
        return say(rc, text, size, "%s is in use by another process: stop it, or give each server its own directory",
                   s->dir);
    }
    return 0;
}

static int remove_data(struct storage *s)
{
    struct dirent *entry;
    uint64_t index;
    int rc = 0;
    int fd = openat(s->dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (dir == NULL)
        return -errno;
    while (rc == 0 && (entry = readdir(dir)) != NULL)
        if (segment_parse_name(entry->d_name, &index) || snapfile_parse_name(entry->d_name, &index))
            rc = unlinkat(s->dir_fd, entry->d_name, 0) != 0 ? -errno : 0;
    closedir(dir);
    return rc != 0 ? rc : meta_create(s->dir_fd);
}

/* The identity: read, or made for an empty directory. */
static int open_identity(struct storage *s, const char *name, bool has_data, const char *foreign, char *text,
                         size_t size)
{
    int rc = identity_file_read(&s->identity, s->dir_fd);
    if (rc == -ENOENT) {
        if (has_data || foreign[0] != 0)
            return say(OC_ECONFLICT, text, size,
                       "%s holds files that are not this program's (%s): move them away, or give "
                       "--raft.storage.dir another path",
                       s->dir, foreign[0] != 0 ? foreign : "a log without its identity");
        rc = identity_file_make(&s->identity, name);
        if (rc == 0)
            rc = meta_create(s->dir_fd);
        if (rc == 0)
            rc = identity_file_write(&s->identity, s->dir_fd);
        return rc != 0 ? say(rc, text, size, "%s cannot be set up: %s", s->dir, err_text(rc)) : 0;
    }
    if (rc != 0)
        return say(rc, text, size, "%s/%s: %s", s->dir, IDENTITY_FILE, err_text(rc));
    if (strcmp(s->identity.id.name, name) != 0)
        return say(OC_ECONFLICT, text, size,
                   "%s belongs to server \"%s\", not \"%s\": give each server its own --raft.storage.dir", s->dir,
                   s->identity.id.name, name);
    if (s->identity.bootstrapping) {
        /* A bootstrap broke off before the server ever started: begin again from nothing. */
        rc = remove_data(s);
        s->identity.bootstrapping = s->identity.has_log = s->identity.id.fresh_bootstrap = false;
        memset(s->identity.id.cluster_id, 0, STORAGE_ID_BYTES);
        if (rc == 0)
            rc = identity_file_write(&s->identity, s->dir_fd);
        if (rc != 0)
            return say(rc, text, size, "%s cannot be cleared: %s", s->dir, err_text(rc));
    }
    return 0;
}

int storage_open(const struct storage_options *options, struct storage **ret_storage, char *text, size_t size)
{
    bool has_data;
    char foreign[256];
    struct storage *s = calloc(1, sizeof *s);

    text[0] = 0;
    if (s == NULL)
        return say(-ENOMEM, text, size, "%s", err_text(-ENOMEM));
    s->dir_fd = s->lock_fd = s->meta.fd = -1;
    snprintf(s->dir, sizeof s->dir, "%s", options->dir);
    segments_init(&s->segments, -1, 0, SEGMENT_DEFAULT_BYTES);
    int rc = lock_directory(s, text, size);
    if (rc == 0) {
        rc = look_around(s, &has_data, foreign);
        if (rc != 0)
            say(rc, text, size, "%s cannot be used: %s", s->dir, err_text(rc));
    }
    if (rc == 0)
        rc = open_identity(s, options->name, has_data, foreign, text, size);
    if (rc == 0) {
        rc = meta_open(&s->meta, s->dir_fd);
        /* It is made before the identity, which we have. */
        if (rc == -ENOENT)
            rc = say(OC_ECORRUPT, text, size, "%s/%s (term and vote) is missing", s->dir, META_FILE);
        else if (rc != 0)
            say(rc, text, size, "%s/%s (term and vote): %s", s->dir, META_FILE, err_text(rc));
    }
    if (rc != 0) {
        storage_close(s);
        return rc;
    }
    uint64_t bytes = options->segment_bytes > 0 ? options->segment_bytes : SEGMENT_DEFAULT_BYTES;
    segments_init(&s->segments, s->dir_fd, s->identity.salt, bytes < SEGMENT_MIN_BYTES ? SEGMENT_MIN_BYTES : bytes);
    s->is_pristine = s->meta.term == 0 && !s->identity.has_log;
    *ret_storage = s;
    return 0;
}

void storage_close(struct storage *s)
{
    if (s == NULL)
        return;
    disk_stop(s->disk);
    storage_recovered_done(s);
    segments_close(&s->segments);
    meta_close(&s->meta);
    fd_close(&s->lock_fd);
    fd_close(&s->dir_fd);
    free(s);
}

const struct storage_identity *storage_identity(const struct storage *s)
{
    return &s->identity.id;
}

int storage_set_cluster_id(struct storage *s, const uint8_t cluster_id[STORAGE_ID_BYTES])
{
    memcpy(s->identity.id.cluster_id, cluster_id, STORAGE_ID_BYTES);
    return identity_file_write(&s->identity, s->dir_fd);
}

int storage_set_fresh_bootstrap(struct storage *s, bool fresh)
{
    s->identity.id.fresh_bootstrap = fresh;
    return identity_file_write(&s->identity, s->dir_fd);
}

bool storage_is_pristine(const struct storage *s)
{
    return s->is_pristine;
}

int storage_bootstrap(struct storage *s, uint64_t self_id, const char *self_address)
{
    struct membership m = {.count = 1, .members = {{.id = self_id, .role = MEMBER_VOTER}}};

    if (!s->is_pristine)
        return -EEXIST;
    if (strlen(self_address) >= sizeof m.members[0].address)
        return OC_ERANGE;
    memcpy(m.members[0].address, self_address, strlen(self_address) + 1);
    int rc = identity_random(s->identity.id.cluster_id, STORAGE_ID_BYTES);
    s->identity.bootstrapping = true;
    s->identity.id.fresh_bootstrap = true;
    if (rc == 0)
        rc = identity_file_write(&s->identity, s->dir_fd);
    if (rc != 0)
        return rc;
    struct entry *e = entry_new(ENTRY_CHANGE, 1, confcodec_len(&m));
    if (e == NULL)
        return -ENOMEM;
    confcodec_encode(&m, entry_payload(e));
    rc = segments_append(&s->segments, 1, e);
    entry_unref(e);
    if (rc != 0)
        return rc;
    /* Recovery reads it like anything else. */
    segments_close(&s->segments);
    segments_init(&s->segments, s->dir_fd, s->identity.salt, s->segments.segment_bytes);
    s->meta.term = 1;
    rc = meta_save(&s->meta);
    if (rc != 0)
        return rc;
    s->identity.bootstrapping = false;
    s->identity.has_log = true;
    s->is_pristine = false;
    return identity_file_write(&s->identity, s->dir_fd);
}

/* ---- recovery ---- */

/* A snapshot's parts are entries of the log. What is in both is kept once, as before the restart. A part has no term
 * of its own, and takes that of the first entry like it. Takes the reference to e and returns one. */
static struct entry *share_with_snapshot(const struct snapshot *snapshot, struct entry *e)
{
    for (unsigned i = 0; entry_type(e) == ENTRY_COMMAND && i < snapshot->part_count; i++) {
        struct entry *part = snapshot->parts[i];
        if ((entry_term(part) != 0 && entry_term(part) != entry_term(e)) || entry_len(part) != entry_len(e) ||
            entry_crc(part) != entry_crc(e) || memcmp(entry_payload(part), entry_payload(e), entry_len(e)) != 0)
            continue;
        entry_set_term(part, entry_term(e));
        entry_unref(e);
        return entry_ref(part);
    }
    return e;
}

static int take_entry(void *ctx, uint64_t index, struct entry *e)
{
    struct storage *s = ctx;
    if (index < s->keep_from) {
        entry_unref(e);
        return 0;
    }
    if (s->snapshot != NULL && index <= s->snapshot->index)
        e = share_with_snapshot(s->snapshot, e);
    if (s->entry_count == s->entry_room) {
        size_t room = s->entry_room > 0 ? s->entry_room * 2 : 256;
        struct entry **entries = realloc(s->entries, room * sizeof(struct entry *));
        if (entries == NULL) {
            entry_unref(e);
            return -ENOMEM;
        }
        s->entries = entries;
        s->entry_room = room;
    }
    if (s->entry_count == 0)
        s->first_index = index;
    s->entries[s->entry_count++] = e;
    return 0;
}

static void drop_entries(struct storage *s)
{
    for (size_t i = 0; i < s->entry_count; i++)
        entry_unref(s->entries[i]);
    s->entry_count = 0;
}

/* The log must begin at 1 or within reach of the snapshot; if it ends before it, or differs from it,
 * the snapshot came from a leader and the log was about to be dropped. */
static int fit_log(struct storage *s, const struct snapshot *snapshot, const struct segments_loaded *loaded, char *text,
                   size_t size)
{
    uint64_t covered = snapshot != NULL ? snapshot->index : 0;
    bool is_empty = loaded->first > loaded->last;

    if (!is_empty && loaded->first > covered + 1)
        return say(OC_ECORRUPT, text, size, "%s: entries %" PRIu64 " to %" PRIu64 " are missing: a log file is gone",
                   s->dir, covered + 1, loaded->first - 1);
    if (is_empty && covered == 0 && s->identity.has_log)
        return say(OC_ECORRUPT, text, size, "%s: the log is gone, although this server took part in a cluster", s->dir);
    if (snapshot == NULL || (is_empty && s->segments.count == 0))
        return 0;
    bool differs = covered >= s->first_index && covered - s->first_index < s->entry_count &&
                   entry_term(s->entries[covered - s->first_index]) != snapshot->term;
    /* An empty one must go on where the snapshot ends. */
    if (is_empty ? s->segments.next == covered + 1 : loaded->last >= covered && !differs)
        return 0;
    drop_entries(s);
    int rc = segments_drop_all(&s->segments);
    return rc != 0 ? say(rc, text, size, "%s: an outdated log cannot be removed: %s", s->dir, err_text(rc)) : 0;
}

/* A dropped torn end is remembered until the log has passed it. */
static void remember_torn(struct storage *s, const struct segments_loaded *loaded, uint64_t last_term,
                          uint64_t last_index, bool *ret_save)
{
    struct meta *m = &s->meta;
    *ret_save = false;
    if (loaded->lost_tail_index > 0) {
        m->lost_tail_index = loaded->lost_tail_index;
        m->lost_tail_term = loaded->lost_tail_term > 0 ? loaded->lost_tail_term : m->term;
        *ret_save = true;
    }
    if (m->lost_tail_index > 0 &&
        (last_term > m->lost_tail_term || (last_term == m->lost_tail_term && last_index >= m->lost_tail_index))) {
        m->lost_tail_index = m->lost_tail_term = 0;
        *ret_save = true;
    }
}

static int read_snapshot(struct storage *s, struct snapshot **ret_snapshot, char *text, size_t size)
{
    uint64_t index, bytes;
    char name[SNAPFILE_NAME_SIZE];
    *ret_snapshot = NULL;
    int rc = snapfile_newest(s->dir_fd, &index, &bytes);
    if (rc != 0)
        return say(rc, text, size, "%s cannot be listed: %s", s->dir, err_text(rc));
    if (index == 0)
        return 0;
    rc = snapfile_read(s->dir_fd, index, ret_snapshot);
    if (rc != 0) {
        snapfile_name(index, name);
        return say(rc, text, size, "%s/%s: %s: restore the file, or empty the directory and let this node join anew",
                   s->dir, name, err_text(rc));
    }
    return 0;
}

int storage_recover(struct storage *s, struct driver_recovered *ret, char *text, size_t size)
{
    struct segments_loaded loaded;
    struct snapshot *snapshot = NULL;
    char why[STORAGE_TEXT_SIZE] = "";
    bool save;

    text[0] = 0;
    int rc = read_snapshot(s, &snapshot, text, size);
    if (rc != 0)
        return rc;
    uint64_t covered = snapshot != NULL ? snapshot->index : 0;
    s->keep_from = covered > RECOVER_TRAILING ? covered - RECOVER_TRAILING : 1;
    s->snapshot = snapshot;
    rc = segments_load(&s->segments, take_entry, s, &loaded, why, sizeof why);
    s->snapshot = NULL;
    if (rc != 0)
        say(rc, text, size, "%s: %s", s->dir, why);
    else
        rc = fit_log(s, snapshot, &loaded, text, size);
    if (rc != 0)
        goto fail;

    uint64_t last_term = snapshot != NULL ? snapshot->term : 0, last_index = covered;
    if (s->entry_count > 0) {
        last_term = entry_term(s->entries[s->entry_count - 1]);
        last_index = s->first_index + s->entry_count - 1;
    }
    if (last_term > s->meta.term) {
        rc = say(OC_ECORRUPT, text, size,
                 "%s/%s is older than the log: its term %" PRIu64 " is below %" PRIu64
                 ". A server must not forget its votes: remove it from the cluster, empty the directory, add it anew",
                 s->dir, META_FILE, s->meta.term, last_term);
        goto fail;
    }
    remember_torn(s, &loaded, last_term, last_index, &save);
    if (save) {
        rc = meta_save(&s->meta);
        if (rc != 0) {
            say(rc, text, size, "%s/%s: %s", s->dir, META_FILE, err_text(rc));
            goto fail;
        }
    }
    if (loaded.lost_tail_index > 0)
        say(0, text, size, "%s/%s: entry %" PRIu64 " was not written completely and is dropped", s->dir,
            loaded.torn_file, loaded.lost_tail_index);
    *ret = (struct driver_recovered){.term = s->meta.term,
                                     .voted_for = s->meta.voted_for,
                                     .snapshot = snapshot,
                                     .first_index = s->entry_count > 0 ? s->first_index : covered + 1,
                                     .entries = s->entries,
                                     .entry_count = (unsigned)s->entry_count,
                                     .lost_tail_term = s->meta.lost_tail_term,
                                     .lost_tail_index = s->meta.lost_tail_index};
    s->holds_log = s->entry_count > 0 || snapshot != NULL;
    s->entry_count = 0; /* the references are the caller's */
    return 0;
fail:
    drop_entries(s);
    snapshot_unref(snapshot);
    return rc;
}

void storage_recovered_done(struct storage *s)
{
    drop_entries(s);
    free(s->entries);
    s->entries = NULL;
    s->entry_room = 0;
}

/* Before the first entry or snapshot is told to anybody: from then on an empty directory is a loss. Not before it was
 * written, or a crash in between would look like one. */
static int note_log(struct storage *s)
{
    s->is_pristine = false;
    if (s->identity.has_log)
        return 0;
    s->identity.has_log = true;
    return identity_file_write(&s->identity, s->dir_fd);
}

int storage_start(struct storage *s)
{
    int rc = s->holds_log ? note_log(s) : 0;
    return rc != 0 ? rc : disk_start(&s->disk, s->dir_fd, &s->segments);
}

/* ---- the disk half of the driver's interface ---- */

int storage_save_term_vote(struct storage *s, uint64_t term, uint64_t voted_for)
{
    s->meta.term = term;
    s->meta.voted_for = voted_for;
    return meta_save(&s->meta);
}

void storage_append(struct storage *s, uint64_t index, struct entry *e)
{
    disk_append(s->disk, index, e);
}

void storage_truncate(struct storage *s, uint64_t from_index)
{
    disk_truncate(s->disk, from_index);
}

void storage_save_snapshot(struct storage *s, struct snapshot *snapshot, uint64_t keep_from, bool install)
{
    disk_save_snapshot(s->disk, snapshot, keep_from, install);
}

int storage_fd(const struct storage *s)
{
    return disk_fd(s->disk);
}

int storage_poll(struct storage *s, struct storage_event *ret)
{
    struct disk_done done;

    memset(ret, 0, sizeof *ret);
    if (s->is_failed || disk_poll(s->disk, &done) == 0)
        return 0;
    int rc = done.kind == DISK_FAILED ? 0 : note_log(s);
    if (rc != 0) {
        snapshot_unref(done.snapshot);
        s->is_failed = true;
        ret->kind = STORAGE_DISK_FAILED;
        ret->rc = rc;
        say(0, ret->text, sizeof ret->text, "%s/%s: %s", s->dir, IDENTITY_FILE, err_text(rc));
        return 1;
    }
    ret->kind = done.kind == DISK_ENTRIES    ? STORAGE_ENTRIES_DURABLE
                : done.kind == DISK_SNAPSHOT ? STORAGE_SNAPSHOT_DURABLE
                                             : STORAGE_DISK_FAILED;
    ret->index = done.index;
    ret->snapshot = done.snapshot;
    ret->rc = done.rc;
    if (done.kind == DISK_FAILED)
        say(0, ret->text, sizeof ret->text, "%s: %s", s->dir, done.text);
    return 1;
}

uint64_t storage_disk_bytes(const struct storage *s)
{
    return s->disk != NULL ? disk_bytes(s->disk) : segments_bytes(&s->segments);
}
