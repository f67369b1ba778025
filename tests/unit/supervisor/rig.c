/* Starts and watches a supervisor with fake workers. */
#include "rig.h"

#include "shared/base/clock.h"
#include "testing.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void nap(void)
{
    const struct timespec t = {.tv_nsec = 5000000};

    (void)nanosleep(&t, NULL);
}

static void copy_program(const struct rig *r, const char *from, const char *name)
{
    char path[256], buf[65536];
    ssize_t n;
    int in = open(from, O_RDONLY | O_CLOEXEC);
    int out;

    (void)snprintf(path, sizeof path, "%s/%s", r->dir, name);
    out = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0755);
    assert_true(in >= 0 && out >= 0);
    while ((n = read(in, buf, sizeof buf)) > 0)
        assert_int_equal(write(out, buf, (size_t)n), n);
    (void)close(in);
    (void)close(out);
}

void rig_open(struct rig *r)
{
    memset(r, 0, sizeof *r);
    (void)strcpy(r->dir, "/tmp/op-conductor-test-XXXXXX");
    assert_non_null(mkdtemp(r->dir));
    copy_program(r, SUPERVISOR, "op-conductor");
    copy_program(r, FAKE_WORKER, "op-conductor-consensus");
    copy_program(r, FAKE_WORKER, "op-conductor-healthd");
    copy_program(r, FAKE_WORKER, "op-conductor-rpcd");
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

void rig_close(struct rig *r)
{
    if (r->pid > 0) {
        (void)kill(r->pid, SIGKILL);
        (void)waitpid(r->pid, NULL, 0);
    }
    (void)nftw(r->dir, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
    free(r->text);
}

void rig_set_behaviour(struct rig *r, const char *role, const char *behaviour)
{
    char path[256];
    FILE *f;

    (void)snprintf(path, sizeof path, "%s/%s.behaviour", r->dir, role);
    f = fopen(path, "w");
    assert_non_null(f);
    (void)fputs(behaviour, f);
    assert_int_equal(fclose(f), 0);
}

static void start(struct rig *r, const char *node_program, const char *node_script, const char *extra, int out_fd)
{
    char program[128], storage[128], log[128], journal[128], script[1024];
    char *argv[24] = {program,
                      "--consensus.addr=127.0.0.1",
                      "--consensus.port=0",
                      "--raft.server.id=test",
                      storage,
                      "--node.rpc=http://127.0.0.1:9",
                      "--execution.rpc=http://127.0.0.1:9",
                      "--healthcheck.interval=1",
                      "--healthcheck.unsafe-interval=60",
                      "--healthcheck.min-peer-count=1",
                      "--rpc.addr=127.0.0.1",
                      "--rpc.port=0",
                      "--log.level=debug"};
    size_t n = 13;

    (void)snprintf(program, sizeof program, "%s/op-conductor", r->dir);
    (void)snprintf(storage, sizeof storage, "--raft.storage.dir=%s/raft", r->dir);
    (void)snprintf(log, sizeof log, "%s/log", r->dir);
    (void)snprintf(journal, sizeof journal, "%s/journal", r->dir);
    (void)snprintf(script, sizeof script, "J=%s; %s", journal, node_script ? node_script : "");
    if (extra)
        argv[n++] = (char *)(uintptr_t)extra;
    if (node_program) {
        argv[n++] = "--";
        argv[n++] = (char *)(uintptr_t)node_program;
    }
    if (node_script) {
        argv[n++] = "-c";
        argv[n++] = script;
    }
    if (out_fd < 0)
        out_fd = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    r->pid = fork();
    assert_true(r->pid >= 0);
    if (r->pid == 0) {
        (void)dup2(out_fd, STDOUT_FILENO);
        (void)dup2(out_fd, STDERR_FILENO);
        (void)setpgid(0, 0);
        (void)execv(program, argv);
        _exit(126);
    }
}

void rig_start(struct rig *r, const char *node_script, const char *extra, int out_fd)
{
    start(r, node_script ? "/bin/sh" : NULL, node_script, extra, out_fd);
}

void rig_start_program(struct rig *r, const char *program)
{
    start(r, program, NULL, NULL, -1);
}

const char *rig_read(struct rig *r, const char *name)
{
    char path[128];
    size_t used = 0;
    ssize_t n = 0;
    int fd;

    (void)snprintf(path, sizeof path, "%s/%s", r->dir, name);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    do {
        if (used + 65536 > r->text_size) {
            r->text_size = r->text_size * 2 + 131072;
            r->text = realloc(r->text, r->text_size);
            assert_non_null(r->text);
        }
        n = fd >= 0 ? read(fd, r->text + used, r->text_size - 1 - used) : 0;
        used += n > 0 ? (size_t)n : 0;
    } while (n > 0);
    if (fd >= 0)
        (void)close(fd);
    r->text[used] = '\0';
    return r->text;
}

static bool has_ended(const struct rig *r)
{
    siginfo_t info;

    memset(&info, 0, sizeof info);
    return r->pid > 0 && waitid(P_PID, (id_t)r->pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid != 0;
}

void rig_wait_for(struct rig *r, const char *name, const char *text)
{
    uint64_t end_ms = clock_mono_ms() + RIG_WAIT_MS;

    while (!strstr(rig_read(r, name), text)) {
        if (has_ended(r) || clock_mono_ms() > end_ms) {
            (void)fprintf(stderr, "---- journal ----\n%s", rig_read(r, "journal"));
            (void)fprintf(stderr, "---- log ----\n%.8000s", rig_read(r, "log"));
            fail_msg("waited in vain for \"%s\" in %s", text, name);
        }
        nap();
    }
}

size_t rig_position(struct rig *r, const char *begin)
{
    const char *text = rig_read(r, "journal");
    const char *at = text;

    while ((at = strstr(at, begin)) != NULL) {
        if (at == text || at[-1] == '\n')
            return (size_t)(at - text);
        at++;
    }
    fail_msg("the journal has no line \"%s\":\n%s", begin, text);
    return 0;
}

/* The fourth word of a journal line: role, word, incarnation, pid. 0 if it is not complete yet. */
static pid_t pid_of_line(const char *line)
{
    for (int i = 0; i < 3; i++) {
        line += strcspn(line, " \n");
        if (*line != ' ')
            return 0;
        line++;
    }
    return (pid_t)strtol(line, NULL, 10);
}

pid_t rig_pid(struct rig *r, const char *begin)
{
    size_t at = rig_position(r, begin);
    pid_t pid = pid_of_line(r->text + at);

    assert_true(pid > 1);
    return pid;
}

int rig_wait_exit(struct rig *r, int timeout_ms)
{
    uint64_t end_ms = clock_mono_ms() + (uint64_t)timeout_ms;
    int status;
    pid_t pid;

    while ((pid = waitpid(r->pid, &status, WNOHANG)) == 0) {
        if (clock_mono_ms() > end_ms) {
            (void)fprintf(stderr, "---- log ----\n%.8000s", rig_read(r, "log"));
            fail_msg("the supervisor does not end");
        }
        nap();
    }
    assert_int_equal(pid, r->pid);
    r->pid = 0;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static bool is_alive(int pid)
{
    char path[64], text[256] = "";
    const char *paren;
    FILE *f;

    (void)snprintf(path, sizeof path, "/proc/%d/stat", pid);
    f = fopen(path, "r");
    if (!f)
        return false;
    if (!fgets(text, sizeof text, f))
        text[0] = '\0';
    (void)fclose(f);
    paren = strrchr(text, ')');
    /* A zombie is gone: only its new parent has not looked yet. */
    return paren && paren[1] == ' ' && paren[2] != 'Z' && paren[2] != 'X';
}

void rig_check_nothing_left(struct rig *r)
{
    const char *line = rig_read(r, "journal");
    uint64_t end_ms = clock_mono_ms() + RIG_WAIT_MS;

    while (*line) {
        pid_t pid = pid_of_line(line);
        while (pid > 1 && is_alive(pid)) {
            if (clock_mono_ms() > end_ms)
                fail_msg("process %d is left: %.80s", pid, line);
            nap();
        }
        line = strchr(line, '\n');
        if (!line)
            return;
        line++;
    }
}
