/* A new cluster of one out of a lost one (see force.h). */
#include "consensus/force.h"

#include "consensus/confcodec.h"
#include "consensus/diskfile.h"
#include "consensus/flightnote.h"
#include "consensus/identity.h"
#include "consensus/storage.h"
#include "consensus/storage_identity.h"
#include "consensus/window.h"
#include "shared/base/clock.h"
#include "shared/base/err.h"
#include "shared/base/fd.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A disk that takes longer than this for one small write is broken. */
#define WRITE_TIMEOUT_MS 30000

enum { EXIT_DONE = 0, EXIT_NOT_DONE = 1, EXIT_USAGE = 2 };

struct force {
    const char *dir;
    struct identity_file identity;
    struct storage *storage;
    struct driver_recovered found;
    struct membership members; /* as the end of the log has them */
    const struct member *self; /* among them; under another id when it was restored from a backup */
    uint64_t last_index, last_term, raft_id;
    bool is_written; /* at least in part */
};

static int fail(const struct force *f, const char *what, int rc)
{
    (void)fprintf(stderr, "%s: %s: %s\n", f->dir, what, err_text(rc));
    return EXIT_NOT_DONE;
}

/* ---- what is there ---- */

static int open_all(struct force *f)
{
    char text[STORAGE_TEXT_SIZE] = "";
    struct storage_options options = {.dir = f->dir, .name = f->identity.id.name};
    int dir_fd = open(f->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir_fd < 0)
        return fail(f, "cannot be opened", -errno);
    int rc = identity_file_read(&f->identity, dir_fd);
    fd_close(&dir_fd);
    if (rc == -ENOENT) {
        (void)fprintf(stderr,
                      "%s is no server's storage directory (no file %s in it): give the one below --raft.storage.dir "
                      "that has the server's name\n",
                      f->dir, IDENTITY_FILE);
        return EXIT_USAGE;
    }
    if (rc)
        return fail(f, IDENTITY_FILE, rc);
    rc = storage_open(&options, &f->storage, text, sizeof text);
    if (rc == 0)
        rc = storage_recover(f->storage, &f->found, text, sizeof text);
    if (rc == 0)
        return EXIT_DONE;
    (void)fprintf(stderr, "%s\n", *text ? text : err_text(rc));
    return EXIT_NOT_DONE;
}

static int find_members(struct force *f)
{
    const struct driver_recovered *r = &f->found;
    f->raft_id = identity_raft_id(f->identity.id.name, f->identity.id.uuid);
    if (r->snapshot) {
        f->members = r->snapshot->membership;
        f->last_index = r->snapshot->index;
        f->last_term = r->snapshot->term;
    }
    for (unsigned i = 0; i < r->entry_count; i++) {
        struct entry *e = r->entries[i];
        struct membership m;
        if (entry_type(e) == ENTRY_CHANGE && confcodec_decode(entry_payload(e), entry_len(e), &m) == 0)
            f->members = m;
        f->last_index = r->first_index + i;
        f->last_term = entry_term(e);
    }
    f->self = identity_find_id(&f->members, f->raft_id);
    if (!f->self)
        f->self = identity_find_name(&f->members, f->identity.id.name);
    if (f->self)
        return EXIT_DONE;
    (void)fprintf(stderr,
                  "%s: server %s is no member of the cluster it knows: force another one, or form a new cluster with "
                  "--raft.bootstrap on an empty directory\n",
                  f->dir, f->identity.id.name);
    return EXIT_NOT_DONE;
}

static void show_head(const struct force *f)
{
    const struct driver_recovered *r = &f->found;
    struct window *w = window_new(WINDOW_PAYLOADS_DEFAULT, WINDOW_BYTES_DEFAULT);
    struct block_id head;
    if (!w)
        return;
    if (r->snapshot)
        (void)window_restore(w, r->snapshot);
    for (unsigned i = 0; i < r->entry_count; i++)
        if (entry_type(r->entries[i]) == ENTRY_COMMAND && (!r->snapshot || r->first_index + i > r->snapshot->index))
            (void)window_apply(w, r->first_index + i, r->entries[i]);
    if (window_head(w, &head))
        printf("  unsafe head %" PRIu64 "\n", head.number);
    else
        printf("  no unsafe head\n");
    window_free(w);
}

static void show(const struct force *f)
{
    printf("Server %s, log up to entry %" PRIu64 " of term %" PRIu64 "\n", f->identity.id.name, f->last_index,
           f->last_term);
    show_head(f);
    for (unsigned i = 0; i < f->members.count; i++)
        printf("  member %s%s\n", f->members.members[i].address,
               f->members.members[i].role == MEMBER_VOTER ? "" : " (no vote)");
    (void)fflush(stdout);
}

/* ---- asking ---- */

static bool is_answer(const char *question, const char *wanted)
{
    char line[SERVER_ID_SIZE + 8];
    (void)fprintf(stderr, "%s ", question);
    if (fgets(line, sizeof line, stdin) == NULL)
        return false;
    line[strcspn(line, "\n")] = '\0';
    return strcmp(line, wanted) == 0;
}

static bool is_wanted(const struct force *f)
{
    (void)fprintf(
        stderr,
        "This makes %s the only member of a new cluster. What only the others have acknowledged is lost; they "
        "can come back with empty storage directories only. Choose the server with the newest log.\n",
        f->identity.id.name);
    if (!isatty(STDIN_FILENO)) {
        (void)fprintf(stderr, "Nobody is there to ask: add --yes to do it.\n");
        return false;
    }
    if (is_answer("Are all other members lost or stopped for good? (yes/no)", "yes") &&
        is_answer("Type the name of this server to do it:", f->identity.id.name))
        return true;
    (void)fprintf(stderr, "Nothing was done.\n");
    return false;
}

/* ---- doing it ---- */

static int wait_durable(struct force *f, uint64_t index)
{
    uint64_t end_ms = clock_mono_ms() + WRITE_TIMEOUT_MS;
    struct storage_event event;
    struct pollfd p = {.fd = storage_fd(f->storage), .events = POLLIN};
    while (clock_mono_ms() < end_ms) {
        while (storage_poll(f->storage, &event) == 1) {
            if (event.kind == STORAGE_DISK_FAILED)
                return event.rc;
            if (event.kind == STORAGE_ENTRIES_DURABLE && event.index >= index)
                return 0;
        }
        (void)poll(&p, 1, 100);
    }
    return OC_EDEADLINE;
}

/* The new cluster id goes first: broken off after it, this server knows its old configuration and reaches
 * nobody, and the command can be given again. */
static int write_all(struct force *f)
{
    uint8_t cluster_id[STORAGE_ID_BYTES];
    struct membership m = {.count = 1, .members = {*f->self}};
    uint64_t term = f->found.term + 1;
    m.members[0].role = MEMBER_VOTER;
    m.members[0].id = f->raft_id;
    struct entry *e = entry_new(ENTRY_CHANGE, term, confcodec_len(&m));
    if (!e)
        return -ENOMEM;
    confcodec_encode(&m, entry_payload(e));
    int rc = identity_random(cluster_id, sizeof cluster_id);
    if (rc == 0)
        rc = storage_set_cluster_id(f->storage, cluster_id);
    if (rc == 0)
        rc = storage_set_fresh_bootstrap(f->storage, true);
    if (rc == 0)
        rc = storage_save_term_vote(f->storage, term, f->raft_id);
    if (rc == 0)
        rc = storage_start(f->storage);
    if (rc == 0) {
        storage_append(f->storage, f->last_index + 1, e);
        rc = wait_durable(f, f->last_index + 1);
    }
    entry_unref(e);
    return rc;
}

/* Root runs this, with sudo; the service runs as another user, who has to read what was written here. */
static int give_to_owner(const struct force *f)
{
    struct stat owner;
    struct dirent *entry;
    int rc = 0;
    DIR *dir = geteuid() == 0 ? opendir(f->dir) : NULL;
    if (!dir)
        return geteuid() == 0 ? -errno : 0;
    int fd = dirfd(dir);
    if (fstat(fd, &owner) < 0)
        rc = -errno;
    while (rc == 0 && (entry = readdir(dir)) != NULL)
        rc = diskfile_give(fd, entry->d_name, &owner);
    (void)closedir(dir);
    return rc;
}

static void close_all(struct force *f)
{
    for (unsigned i = 0; i < f->found.entry_count; i++)
        entry_unref(f->found.entries[i]);
    snapshot_unref(f->found.snapshot);
    storage_close(f->storage);
}

static void leave_event(const struct force *f)
{
    struct flight_record r;

    memset(&r, 0, sizeof r);
    r.kind = FLIGHT_OPERATOR;
    r.term = f->last_term;
    (void)snprintf(r.subject, sizeof r.subject, "force a new cluster of this server alone");
    (void)snprintf(r.text, sizeof r.text, "(the one before had %u members)", f->members.count);
    flightnote_leave(f->dir, &r);
}

static int run(struct force *f, bool is_yes)
{
    int code = find_members(f);
    if (code)
        return code;
    show(f);
    if (f->members.count == 1 && f->self->role == MEMBER_VOTER && f->self->id == f->raft_id) {
        printf("It is the only member already: nothing to do.\n");
        return EXIT_DONE;
    }
    if (!is_yes && !is_wanted(f))
        return EXIT_NOT_DONE;
    f->is_written = true;
    int rc = write_all(f);
    if (rc)
        return fail(f, "the new configuration could not be written", rc);
    leave_event(f);
    printf(
        "%s is the only member of a new cluster. Start it, resume it (conductorctl resume), empty the storage of the "
        "others, and add them (conductorctl add-voter).\n",
        f->identity.id.name);
    return EXIT_DONE;
}

int force_new_cluster(const char *dir, bool is_yes)
{
    struct force *f = calloc(1, sizeof *f);
    if (!f)
        return EXIT_NOT_DONE;
    f->dir = dir;
    int code = open_all(f);
    if (code == EXIT_DONE)
        code = run(f, is_yes);
    close_all(f);
    int rc = f->is_written ? give_to_owner(f) : 0;
    if (rc)
        code = fail(f, "its files could not be given to the owner of the directory", rc);
    free(f);
    return code;
}
