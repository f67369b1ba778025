/* Backup and restore of a storage directory (see archive.h). */
#include "consensus/archive.h"

#include "consensus/diskfile.h"
#include "consensus/entry.h"
#include "consensus/storage.h"
#include "consensus/storage_identity.h"
#include "shared/base/err.h"
#include "shared/base/fd.h"
#include "shared/config/worker_config.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOCK_FILE "lock"
#define PARTIAL ".partial"
#define COPY_BYTES ((size_t)1 << 20)

enum { EXIT_DONE = 0, EXIT_NOT_DONE = 1, EXIT_USAGE = 2 };

struct copy {
    char partial[PATH_MAX]; /* where it grows */
    int from_fd, to_fd;
    bool is_sparse; /* zeros become holes: a backup never grows again, a log does and wants its space */
    bool is_owned;  /* by owner and group below */
    uid_t owner;
    gid_t group;
    uint8_t *buffer;
};

static int fail(const char *path, const char *what, int rc)
{
    (void)fprintf(stderr, "%s: %s: %s\n", path, what, err_text(rc));
    return EXIT_NOT_DONE;
}

/* ---- copying ---- */

static int copy_bytes(const struct copy *c, int in, int out)
{
    off_t offset = 0;
    for (;;) {
        ssize_t n = read(in, c->buffer, COPY_BYTES);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0)
            return ftruncate(out, offset) < 0 || fsync(out) < 0 ? -errno : 0;
        int rc = c->is_sparse && diskfile_is_zero(c->buffer, (size_t)n)
                     ? 0
                     : diskfile_write_at(out, c->buffer, (size_t)n, (uint64_t)offset);
        if (rc < 0)
            return rc;
        offset += n;
    }
}

static int copy_file(const struct copy *c, const char *name)
{
    int in = openat(c->from_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    int out = in < 0 ? -1 : openat(c->to_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    int rc = in < 0 || out < 0 ? -errno : copy_bytes(c, in, out);
    if (rc == 0 && c->is_owned && fchown(out, c->owner, c->group) < 0)
        rc = -errno;
    fd_close(&in);
    fd_close(&out);
    return rc;
}

static bool is_temporary(const char *name)
{
    size_t len = strlen(name);
    return len > 4 && strcmp(name + len - 4, ".tmp") == 0;
}

static int copy_all(const struct copy *c)
{
    struct dirent *entry;
    int rc = 0, fd = openat(c->from_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (dir == NULL) {
        rc = -errno;
        fd_close(&fd);
        return rc;
    }
    while (rc == 0 && (entry = readdir(dir)) != NULL)
        if (entry->d_name[0] != '.' && strcmp(entry->d_name, LOCK_FILE) != 0 &&
            strcmp(entry->d_name, "lost+found") != 0 && !is_temporary(entry->d_name))
            rc = copy_file(c, entry->d_name);
    (void)closedir(dir);
    return rc == 0 && fsync(c->to_fd) < 0 ? -errno : rc;
}

/* ---- checking ---- */

/* Reads all of it back as a server does at its start. */
static int check(const char *dir, const char *name)
{
    char text[STORAGE_TEXT_SIZE] = "";
    struct storage_options options = {.dir = dir, .name = name};
    struct driver_recovered found = {0};
    struct storage *storage = NULL;
    int rc = storage_open(&options, &storage, text, sizeof text);
    if (rc == 0)
        rc = storage_recover(storage, &found, text, sizeof text);
    if (rc != 0) {
        (void)fprintf(stderr, "%s\n", *text != '\0' ? text : err_text(rc));
    } else {
        uint64_t last = found.entry_count > 0    ? found.first_index + found.entry_count - 1
                        : found.snapshot != NULL ? found.snapshot->index
                                                 : 0;
        printf("server %s, term %" PRIu64 ", log up to entry %" PRIu64 ": checked\n", name, found.term, last);
    }
    for (unsigned i = 0; i < found.entry_count; i++)
        entry_unref(found.entries[i]);
    snapshot_unref(found.snapshot);
    storage_close(storage);
    return rc == 0 ? EXIT_DONE : EXIT_NOT_DONE;
}

/* ---- what both do ---- */

/* The directory around `path`, durable after what happened in it. */
static int sync_parent(const char *path)
{
    char parent[PATH_MAX];
    (void)snprintf(parent, sizeof parent, "%s/..", path);
    int fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int rc = fd < 0 || fsync(fd) < 0 ? -errno : 0;
    fd_close(&fd);
    return rc;
}

static int begin(struct copy *c, const char *from, const char *to)
{
    c->from_fd = c->to_fd = -1;
    if (snprintf(c->partial, sizeof c->partial, "%s" PARTIAL, to) >= (int)sizeof c->partial)
        return fail(to, "cannot be made", -ENAMETOOLONG);
    c->from_fd = open(from, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (c->from_fd < 0)
        return fail(from, "cannot be opened", -errno);
    if (mkdir(c->partial, 0700) < 0) {
        (void)fprintf(stderr, "%s cannot be made: %s%s\n", c->partial, err_text(-errno),
                      errno == EEXIST ? ": it is left of a copy that was broken off; remove it" : "");
        return EXIT_NOT_DONE;
    }
    c->to_fd = open(c->partial, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    c->buffer = malloc(COPY_BYTES);
    if (c->to_fd < 0 || c->buffer == NULL)
        return fail(c->partial, "cannot be opened", c->buffer == NULL ? -ENOMEM : -errno);
    if (c->is_owned && fchown(c->to_fd, c->owner, c->group) < 0)
        return fail(c->partial, "cannot be given to its owner", -errno);
    return EXIT_DONE;
}

/* The checked copy gets its name. */
static int finish(struct copy *c, const char *to)
{
    if (unlinkat(c->to_fd, LOCK_FILE, 0) < 0 && errno != ENOENT) /* left by the check */
        return fail(c->partial, LOCK_FILE, -errno);
    if (rename(c->partial, to) < 0)
        return fail(to, "cannot be made of " PARTIAL, -errno);
    int rc = sync_parent(to);
    return rc < 0 ? fail(to, "its directory cannot be synced", rc) : EXIT_DONE;
}

/* What is not finished is of no use. */
static void discard(const struct copy *c)
{
    struct dirent *entry;
    int fd = c->to_fd < 0 ? -1 : openat(c->to_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (dir == NULL) {
        fd_close(&fd);
        return;
    }
    while ((entry = readdir(dir)) != NULL)
        (void)unlinkat(c->to_fd, entry->d_name, 0); /* no directory: . and .. stay */
    (void)closedir(dir);
    (void)rmdir(c->partial);
}

static void end(struct copy *c, int code)
{
    if (code != EXIT_DONE)
        discard(c);
    fd_close(&c->from_fd);
    fd_close(&c->to_fd);
    free(c->buffer);
}

static int read_identity(const char *dir, struct identity_file *ret)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return fail(dir, "cannot be opened", -errno);
    int rc = identity_file_read(ret, fd);
    fd_close(&fd);
    if (rc == 0)
        return EXIT_DONE;
    if (rc != -ENOENT)
        return fail(dir, IDENTITY_FILE, rc);
    (void)fprintf(
        stderr,
        "%s is no server's storage (no file %s in it): give the directory below --raft.storage.dir that has the "
        "server's name, or a backup of it\n",
        dir, IDENTITY_FILE);
    return EXIT_USAGE;
}

static bool is_there(const char *path)
{
    struct stat st;
    return lstat(path, &st) == 0;
}

/* ---- backup ---- */

/* Returns the lock's fd, or -1 after having said why not. */
static int lock_storage(const char *dir)
{
    char path[PATH_MAX];
    (void)snprintf(path, sizeof path, "%s/" LOCK_FILE, dir);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0)
        return fd;
    if (fd >= 0 && errno == EWOULDBLOCK)
        (void)fprintf(stderr, "%s is in use by another process: stop its op-conductor first\n", dir);
    else
        (void)fail(path, "cannot be locked", -errno);
    fd_close(&fd);
    return -1;
}

int archive_backup(const char *dir, const char *to)
{
    struct copy c = {.from_fd = -1, .to_fd = -1, .is_sparse = true};
    struct identity_file identity;
    int code = read_identity(dir, &identity);
    if (code != EXIT_DONE)
        return code;
    if (is_there(to)) {
        (void)fprintf(stderr, "%s is there already: give another name\n", to);
        return EXIT_USAGE;
    }
    int lock_fd = lock_storage(dir);
    if (lock_fd < 0)
        return EXIT_NOT_DONE;
    code = begin(&c, dir, to);
    if (code == EXIT_DONE) {
        int rc = copy_all(&c);
        code = rc < 0 ? fail(c.partial, "cannot be written", rc) : check(c.partial, identity.id.name);
    }
    if (code == EXIT_DONE)
        code = finish(&c, to);
    end(&c, code);
    fd_close(&lock_fd);
    if (code == EXIT_DONE)
        printf("%s is a backup of %s\n", to, dir);
    return code;
}

/* ---- restore ---- */

/* Another member from now on; what its records are checked with stays. */
static int renew_identity(const struct copy *c, struct identity_file *identity)
{
    int rc = identity_random(identity->id.uuid, sizeof identity->id.uuid);
    if (rc == 0)
        rc = identity_file_write(identity, c->to_fd);
    if (rc == 0 && c->is_owned && fchownat(c->to_fd, IDENTITY_FILE, c->owner, c->group, 0) < 0)
        rc = -errno;
    return rc;
}

/* Missing or empty: rename(2) replaces an empty directory, and none with a server in it. */
static int check_place(const char *dir, const char *name)
{
    const char *slash = strrchr(dir, '/');
    if (strcmp(slash != NULL ? slash + 1 : dir, name) != 0) {
        (void)fprintf(stderr, "this is a backup of server %s: restore it as DIR/%s, with DIR as --raft.storage.dir\n",
                      name, name);
        return EXIT_USAGE;
    }
    if (is_there(dir) && rmdir(dir) < 0) {
        (void)fprintf(stderr, "%s cannot be replaced: %s: move it away first, with op-conductor stopped\n", dir,
                      err_text(-errno));
        return EXIT_NOT_DONE;
    }
    return EXIT_DONE;
}

static void find_owner(struct copy *c, const char *dir)
{
    char parent[PATH_MAX];
    struct stat st;
    (void)snprintf(parent, sizeof parent, "%s", dir);
    char *slash = strrchr(parent, '/');
    if (slash != NULL)
        slash[slash == parent] = '\0';
    c->is_owned = geteuid() == 0 && stat(slash != NULL ? parent : ".", &st) == 0;
    if (c->is_owned) {
        c->owner = st.st_uid;
        c->group = st.st_gid;
    }
}

static void say_what_next(const char *dir, const char *name)
{
    printf(
        "%s is restored. Since that backup the server may have voted and acknowledged what it now has forgotten, so it "
        "is another member now, without a vote.\n"
        "If its cluster lives: start it, and on the leader `conductorctl remove %s`, then `conductorctl add-voter %s "
        "HOST:PORT`.\n"
        "If the whole cluster is lost: `conductorctl force-new-cluster %s`; what was acknowledged after the backup is "
        "lost with it.\n",
        dir, name, name, dir);
}

int archive_restore(const char *from, const char *dir)
{
    struct copy c = {.from_fd = -1, .to_fd = -1};
    struct identity_file identity;
    char place[CONFIG_PATH_SIZE];
    size_t len = (size_t)snprintf(place, sizeof place, "%s", dir);
    if (len >= sizeof place)
        return fail(dir, "cannot be made", -ENAMETOOLONG);
    while (len > 1 && place[len - 1] == '/')
        place[--len] = '\0';
    int code = read_identity(from, &identity);
    if (code == EXIT_DONE)
        code = check_place(place, identity.id.name);
    if (code != EXIT_DONE)
        return code;
    find_owner(&c, place);
    code = begin(&c, from, place);
    if (code == EXIT_DONE) {
        int rc = copy_all(&c);
        if (rc == 0)
            rc = renew_identity(&c, &identity);
        code = rc < 0 ? fail(c.partial, "cannot be written", rc) : check(c.partial, identity.id.name);
    }
    if (code == EXIT_DONE)
        code = finish(&c, place);
    end(&c, code);
    if (code == EXIT_DONE)
        say_what_next(place, identity.id.name);
    return code;
}
