/* Credentials from a program of the user's, run without a shell.
 * https://docs.aws.amazon.com/sdkref/latest/guide/feature-process-credentials.html */
#define _GNU_SOURCE /* pipe2, environ */
#include "providers/aws/sources.h"
#include "providers/provider.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { WORDS_MAX = 128, PROGRAM_MAX_S = 120, POLL_MS = 200, SHOWN = 400 };

/* ---- The command line */

/* One word; false at a quote that does not end. */
static bool read_word(struct str *rest, struct buf *word) {
    char quote = '\0';
    while (rest->len > 0) {
        char c = *rest->ptr;
        bool blank = c == ' ' || c == '\t' || c == '\n' || c == '\r';
        if (quote == '\0' && blank)
            return true;
        rest->ptr++;
        rest->len--;
        if (quote == '\0' && (c == '"' || c == '\'')) {
            quote = c;
        } else if (quote != '\0' && c == quote) {
            quote = '\0';
        } else if (c == '\\' && quote != '\'') {
            if (rest->len == 0)
                return false;
            /* In double quotes a backslash stands for itself but before these. */
            if (quote == '"' && *rest->ptr != '"' && *rest->ptr != '\\')
                buf_addc(word, '\\');
            buf_addc(word, *rest->ptr);
            rest->ptr++;
            rest->len--;
        } else {
            buf_addc(word, c);
        }
    }
    return quote == '\0';
}

char **source_split_command(struct arena *arena, struct str command) {
    char **words = arena_calloc(arena, WORDS_MAX + 1, sizeof *words);
    size_t n = 0;
    for (;;) {
        command = str_trim(command);
        if (words == NULL || command.len == 0)
            break;
        _cleanup_buf_ struct buf word = BUF_INIT(BUF_SMALL);
        char *copy;
        if (n == WORDS_MAX || !read_word(&command, &word) || word.failed ||
            (copy = arena_alloc(arena, word.len + 1)) == NULL)
            return NULL;
        if (word.len > 0)
            memcpy(copy, word.ptr, word.len);
        words[n++] = copy;
    }
    return n == 0 ? NULL : words;
}

/* ---- Running it */

struct program {
    pid_t pid;
    int out, err; /* our ends; -1 when they are done */
};

static void close_both(const int fds[2]) {
    close(fds[0]);
    close(fds[1]);
}

/* 0 or an errno. */
static int start(char **words, struct program *ret) {
    int out[2], err[2];
    posix_spawn_file_actions_t actions;
    if (pipe2(out, O_CLOEXEC) < 0)
        return errno;
    if (pipe2(err, O_CLOEXEC) < 0) {
        int reason = errno;
        close_both(out);
        return reason;
    }
    int reason = posix_spawn_file_actions_init(&actions);
    if (reason == 0) {
        reason = posix_spawn_file_actions_adddup2(&actions, out[1], STDOUT_FILENO);
        if (reason == 0)
            reason = posix_spawn_file_actions_adddup2(&actions, err[1], STDERR_FILENO);
        if (reason == 0)
            reason = posix_spawnp(&ret->pid, words[0], &actions, NULL, words, environ);
        posix_spawn_file_actions_destroy(&actions);
    }
    if (reason != 0) {
        close_both(out);
        close_both(err);
        return reason;
    }
    close(out[1]);
    close(err[1]);
    ret->out = out[0];
    ret->err = err[0];
    return 0;
}

static void read_some(int *fd, struct buf *into) {
    char bytes[4096];
    ssize_t n = read(*fd, bytes, sizeof bytes);
    if (n < 0 && errno == EINTR)
        return;
    if (n > 0) {
        buf_add(into, bytes, (size_t)n); /* past the cap it fails, and is still drained */
        explicit_bzero(bytes, sizeof bytes);
        return;
    }
    close(*fd);
    *fd = -1;
}

/* Until it has closed both. 0, -ERRC_TIMEOUT or -ERRC_CANCELLED. */
static int listen_to(struct program *p, const atomic_int *cancel, struct buf *out,
                     struct buf *err) {
    double end = monotonic_s() + PROGRAM_MAX_S;
    while (p->out >= 0 || p->err >= 0) {
        struct pollfd fds[2] = {{.fd = p->out, .events = POLLIN}, {.fd = p->err, .events = POLLIN}};
        if (cancel != NULL && atomic_load(cancel) > 1)
            return -ERRC_CANCELLED;
        if (monotonic_s() > end)
            return -ERRC_TIMEOUT;
        if (poll(fds, 2, POLL_MS) <= 0)
            continue;
        if (fds[0].revents != 0)
            read_some(&p->out, out);
        if (fds[1].revents != 0)
            read_some(&p->err, err);
    }
    return 0;
}

/* The exit status, or -1 for an end by a signal. */
static int wait_for(pid_t pid) {
    int status = 0;
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* What it said last, for an error. */
static const char *tail(const struct buf *text) {
    struct str s = str_trim(buf_str(text));
    return s.len == 0 ? "it said nothing" : s.len <= SHOWN ? s.ptr : s.ptr + s.len - SHOWN;
}

static int run_program(struct chain *c, char **words, struct buf *out, struct err *err) {
    struct program p = {.pid = -1, .out = -1, .err = -1};
    _cleanup_secret_buf_ struct buf said = BUF_INIT(BUF_SMALL);
    int reason = start(words, &p);
    if (reason != 0) {
        err_set_errno(err, ERRC_AUTH, reason, "run %s", words[0]);
        err_hint(err, "credential_process is run without a shell: give the program's whole path");
        return -ERRC_AUTH;
    }
    int rc = listen_to(&p, c->in->cancel, out, &said);
    if (rc < 0)
        kill(p.pid, SIGKILL);
    if (p.out >= 0)
        close(p.out);
    if (p.err >= 0)
        close(p.err);
    int status = wait_for(p.pid);
    if (rc == -ERRC_CANCELLED)
        return err_set(err, ERRC_CANCELLED, "%s: interrupted", words[0]);
    if (rc == -ERRC_TIMEOUT)
        return err_set(err, ERRC_AUTH, "%s did not end within %d s", words[0], PROGRAM_MAX_S);
    if (status > 0)
        return err_set(err, ERRC_AUTH, "%s ended with exit status %d: %s", words[0], status,
                       tail(&said));
    if (status != 0)
        return err_set(err, ERRC_AUTH, "%s was ended by a signal: %s", words[0], tail(&said));
    return out->failed ? err_set(err, ERRC_LIMIT, "%s says too much", words[0]) : 0;
}

int source_process(struct chain *c, const char *profile, struct aws_credentials *ret,
                   struct err *err) {
    const char *command = source_setting(c, profile, "credential_process");
    _cleanup_secret_buf_ struct buf out = BUF_INIT(BUF_SMALL);
    if (command == NULL)
        return 1;
    char **words = source_split_command(&c->arena, str_of(command));
    if (words == NULL) {
        err_set(err, ERRC_AUTH, "profile %s: credential_process is no command line", profile);
        err_hint(err, "look at its quotes");
        return -ERRC_AUTH;
    }
    int rc = run_program(c, words, &out, err);
    if (rc == 0) {
        cJSON *json = cJSON_ParseWithLength(out.ptr, out.len);
        const cJSON *version = cJSON_GetObjectItemCaseSensitive(json, "Version");
        if (json == NULL)
            rc = err_set(err, ERRC_AUTH, "%s does not answer in JSON", words[0]);
        else if (!cJSON_IsNumber(version) || version->valuedouble != 1)
            rc = err_set(err, ERRC_AUTH, "the answer of %s is not of Version 1", words[0]);
        else
            rc = source_take_json(c, json, "SessionToken", ret, err);
        source_json_free(json);
    }
    if (rc < 0)
        return err_wrap(err, "profile %s: credential_process", profile);
    snprintf(ret->source, sizeof ret->source, "credential_process of profile %.200s", profile);
    return 0;
}
