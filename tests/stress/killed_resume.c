/* killed_resume.c -- a training that is killed and resumed ends as if nothing had happened.
 *
 * A child trains a stream of TBPTT with overlapping windows, rows that restart and dropout, saves after
 * every few steps, and goes on from the file it finds. It kills itself at the k-th write, fsync, rename or
 * update: before it, after it, or with half of it done, all drawn from a seed. Another child goes on. The
 * last file must have the bytes of a run that was never killed, and nothing may lie beside it but the
 * temporary of a process that lives. Prints what it did; exits 1 on the first thing that is wrong. */
#define _POSIX_C_SOURCE 200809L /* mkdtemp */
#include "seqgrad.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

#define REQUIRE(condition, ...)                  \
    do {                                         \
        if (!(condition)) {                      \
            printf("line %d, ", __LINE__);       \
            printf("run %d: ", (int)run_number); \
            printf(__VA_ARGS__);                 \
            printf("\n");                        \
            fflush(stdout);                      \
            _exit(1);                            \
        }                                        \
    } while (0)

static int64_t run_number = -1;

/* ---- The moment of death ------------------------------------------------------------------- */

enum { WRITE, FSYNC, RENAME, UPDATE, N_CLASSES };
enum { BEFORE, AFTER, HALFWAY, N_WAYS };
static const char *const class_names[N_CLASSES] = { "write", "fsync", "rename", "update" };

static long calls[N_CLASSES], die_at; /* the first is number 1; 0: never */
static int die_of, die_when;

static bool dying;
static void comes(int class) { dying = ++calls[class] == die_at && class == die_of; }
static void die_if(bool now)
{
    if (dying && now) raise(SIGKILL);
}

ssize_t __real_write(int fd, const void *from, size_t n);
ssize_t __wrap_write(int fd, const void *from, size_t n);
ssize_t __wrap_write(int fd, const void *from, size_t n)
{
    comes(WRITE);
    die_if(die_when == BEFORE);
    ssize_t done = __real_write(fd, from, dying && die_when == HALFWAY ? n / 2 : n);
    die_if(true);
    return done;
}

int __real_fsync(int fd);
int __wrap_fsync(int fd);
int __wrap_fsync(int fd)
{
    comes(FSYNC);
    die_if(die_when == BEFORE);
    int done = __real_fsync(fd);
    die_if(true);
    return done;
}

int __real_rename(const char *from, const char *to);
int __wrap_rename(const char *from, const char *to);
int __wrap_rename(const char *from, const char *to)
{
    comes(RENAME);
    die_if(die_when == BEFORE);
    int done = __real_rename(from, to);
    die_if(true);
    return done;
}

/* ---- The training -------------------------------------------------------------------------- */

enum { B = 2, E = 2, H = 3, STEPS = 29, CHUNK = 3 };

typedef struct training {
    sq_params *p;
    sq_lstm lstm;
    sq_dropped dropped;
    sq_optim *o;
    sq_tape *t;
    sq_tbptt *s;
} training;

static double wave(int64_t i) { return (double)(i * i % 7) / 7 - .5; }

static sq_var input(void *context, sq_tape *t, int64_t first, int64_t steps)
{
    double x[STEPS * B * E];
    (void)context;
    for (int64_t i = 0; i < steps * B * E; i++) x[i] = wave(first * B * E + i);
    return sq_input_f64(t, sq_shape3(steps, B, E), x);
}

static sq_var loss(void *context, sq_tape *t, sq_var y, int64_t first, int64_t steps)
{
    double target[STEPS * B * H];
    (void)context;
    for (int64_t i = 0; i < steps * B * H; i++) target[i] = wave(5 * (first * B * H + i));
    return sq_sum(sq_square(sq_sub(y, sq_input_f64(t, sq_shape3(steps, B, H), target))));
}

static sq_status update(void *context, sq_tape *t, double value, int64_t n)
{
    const training *r = context;
    (void)value, (void)n;
    comes(UPDATE);
    die_if(die_when == BEFORE);
    sq_status done = sq_optim_step(r->o, t);
    die_if(true);
    return done;
}

static void training_new(training *r, sq_mode mode)
{
    *r = (training){ .p = sq_params_new(SQ_F64) };
    REQUIRE(sq_lstm_init(&r->lstm, r->p, "lstm", E, H, 1) == SQ_OK, "no cell");
    r->o = sq_optim_new(r->p, &(sq_optim_options){ .kind = SQ_ADAM, .rate = .02 });
    r->t = sq_tape_new(SQ_F64, r->p);
    r->dropped = (sq_dropped){ .cell = sq_lstm_cell(&r->lstm), .output = .3 };
    sq_cell cell = sq_dropout_cell(&r->dropped);
    r->s = sq_tbptt_new(r->t, &cell,
                        &(sq_tbptt_options){ .k1 = 2,
                                             .k2 = 7,
                                             .batch = B,
                                             .unroll.mode = mode,
                                             .input = input,
                                             .loss = loss,
                                             .update = update,
                                             .context = r });
    REQUIRE(r->o && r->s, "%s", sq_message(r->t));
}

static void training_free(training *r)
{
    sq_tbptt_free(r->s);
    sq_tape_free(r->t);
    sq_optim_free(r->o);
    sq_params_free(r->p);
}

static void save(const training *r)
{
    sq_bundle *b = sq_bundle_new();
    sq_bundle_add_params(b, "model", r->p);
    sq_bundle_add_optim(b, "optim", r->o);
    REQUIRE(!sq_tbptt_save(r->s, b, "stream") && !sq_bundle_save(b, "save"), "%s",
            sq_bundle_message(b));
    sq_bundle_free(b);
}

static void load(training *r)
{
    if (access("save", F_OK)) return;
    sq_bundle *b = sq_bundle_load("save");
    sq_bundle_get_params(b, "model", r->p);
    sq_bundle_get_optim(b, "optim", r->o);
    REQUIRE(!sq_tbptt_load(r->s, b, "stream"), "%s", sq_bundle_message(b));
    sq_bundle_free(b);
}

/* From the file, or from the beginning, to the end. */
static void train(sq_mode mode)
{
    static const int32_t rows[STEPS * B] = { [9 * B] = SQ_ROW_RESET,
                                             [16 * B + 1] = SQ_ROW_CUT };
    training r;
    training_new(&r, mode);
    load(&r);
    for (int64_t n; (n = sq_tbptt_statistics(r.s).steps) < STEPS;) {
        int64_t steps = n + CHUNK < STEPS ? CHUNK : STEPS - n;
        REQUIRE(!sq_tbptt_feed(r.s, steps, rows + n * B), "%s", sq_message(r.t));
        save(&r);
    }
    REQUIRE(!sq_tbptt_end(r.s), "%s", sq_message(r.t));
    save(&r);
    training_free(&r);
}

/* ---- Processes ----------------------------------------------------------------------------- */

/* How a child that trains ends. */
static int child(sq_mode mode)
{
    int status = 0;
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        memset(calls, 0, sizeof calls);
        train(mode);
        _exit(0);
    }
    REQUIRE(pid > 0 && waitpid(pid, &status, 0) == pid, "no child");
    return status;
}

static size_t read_save(unsigned char bytes[1 << 16])
{
    FILE *f = fopen("save", "rb");
    size_t n = f ? fread(bytes, 1, 1 << 16, f) : 0;
    REQUIRE(n > 1000 && n < 1 << 16 && !fclose(f), "no save");
    return n;
}

static int files_here(void)
{
    int n = 0;
    DIR *d = opendir(".");
    for (struct dirent *e; (e = readdir(d)) != NULL;) n += e->d_name[0] != '.';
    closedir(d);
    return n;
}

static unsigned long draw(unsigned long below)
{
    sq_random r = sq_random_stream(7, (uint64_t)run_number, 0, 0);
    static uint64_t drawn;
    return (unsigned long)(sq_random_bits(r, 0, drawn++) % below);
}

typedef struct whole {
    size_t n;
    unsigned char bytes[1 << 16];
} whole;

/* Kills one child, has another go on. Whether something was left beside the save. */
static bool killed_and_resumed(const whole *want, sq_mode mode, const long most[N_CLASSES])
{
    static unsigned char bytes[1 << 16];
    (void)unlink("save");
    die_of = (int)(run_number % N_CLASSES);
    die_at = 1 + (long)draw((unsigned long)most[die_of]);
    die_when = (int)draw(N_WAYS);
    int status = child(mode);
    REQUIRE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL, "%s %ld did not come",
            class_names[die_of], die_at);
    bool left = files_here() > 1 + !access("save", F_OK);
    long at = die_at;
    die_at = 0;
    status = child(mode);
    REQUIRE(WIFEXITED(status) && !WEXITSTATUS(status), "resumed: status %d", status);
    REQUIRE(read_save(bytes) == want->n && !memcmp(bytes, want->bytes, want->n),
            "killed at %s %ld, way %d: another end", class_names[die_of], at, die_when);
    REQUIRE(files_here() == 2, "%d files, of which one is that of a living process",
            files_here());
    return left;
}

int main(void)
{
    enum { RUNS = 40 };
    static const sq_mode modes[] = { SQ_EAGER, SQ_PLAN };
    static whole want[2];
    char in_memory[] = "/dev/shm/sq_killed_XXXXXX", on_disk[] = "/tmp/sq_killed_XXXXXX",
         name[64];
    const char *folder = mkdtemp(in_memory); /* saves wait for the disk where there is one */
    if (!folder) folder = mkdtemp(on_disk);
    REQUIRE(folder && chdir(folder) == 0, "no folder");
    long most[N_CLASSES];
    for (int m = 0; m < 2; m++) {
        memset(calls, 0, sizeof calls);
        (void)unlink("save");
        train(modes[m]);
        memcpy(most, calls, sizeof most);
        want[m].n = read_save(want[m].bytes);
    }
    (void)snprintf(name, sizeof name, "save.%ld-7.tmp", (long)getpid());
    int fd = open(name, O_WRONLY | O_CREAT, 0600);
    REQUIRE(fd >= 0 && flock(fd, LOCK_EX) == 0, "no temporary");
    int hit[N_CLASSES] = { 0 }, left = 0;
    for (run_number = 0; run_number < RUNS; run_number++) {
        int m = (int)(run_number / N_CLASSES % 2);
        left += killed_and_resumed(&want[m], modes[m], most);
        hit[die_of]++;
    }
    for (int i = 0; i < N_CLASSES; i++)
        printf("killed %d times at one of %ld calls of %s\n", hit[i], most[i], class_names[i]);
    printf("%d times a temporary was left and removed\n", left);
    REQUIRE(left > 5, "too few temporaries");
    return unlink("save") || unlink(name) || close(fd) || chdir("/") || rmdir(folder);
}
