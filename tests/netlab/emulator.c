/* A link between two network namespaces, as a program: tests/netlab/emulator.py says how to drive it.
 *
 *   emulator link [seed=N] [log=FILE]        makes namespaces a and b, and the link; then obeys standard input
 *     name=DEVICE a=NAMESPACE b=NAMESPACE    ... in these instead, where devices of that name get no addresses
 *   emulator enter NAMESPACE PROGRAM ...     becomes PROGRAM in that namespace
 *   emulator replay [seed=N] [NAME=VALUE ..] the same model in virtual time: reads "MICROSECONDS BYTES" lines
 *
 * Namespaces have no names and devices do not persist, so that the kernel removes all of it when this process and those
 * in the namespaces are gone; they die with whoever started them.
 */
#define _GNU_SOURCE
#include "model.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/ipv6.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#define BATCH 32          /* packets read from one side before the other has its turn */
#define DEVICE_QUEUE 8192 /* packets the kernel keeps for us */
#define PRIORITY 10       /* of SCHED_FIFO, so that busy neighbours do not make packets late */

void die(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fputs("emulator: ", stderr);
    vfprintf(stderr, format, arguments);
    fprintf(stderr, errno ? ": %s\n" : "\n", strerror(errno));
    exit(2);
}

void *grow(void *old, size_t bytes) {
    void *memory = realloc(old, bytes);
    if (!memory) die("no memory");
    return memory;
}

static int64_t clock_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

/* "set ab|ba NAME=VALUE ...", "stats", "reset": a line of JSON answers. */
static void obey(char *line, int64_t now) {
    const char *wrong = NULL;
    char *save, *verb = strtok_r(line, " \n", &save), *word;
    if (verb && !strcmp(verb, "set") && (word = strtok_r(NULL, " \n", &save))) {
        struct direction *d = strcmp(word, "ba") ? &ab : &ba;
        while (!wrong && (word = strtok_r(NULL, " \n", &save))) wrong = set(d, word, now);
        printf(wrong ? "{\"error\": \"%s: %s\"}" : "{}", word, wrong);
    } else if (verb && !strcmp(verb, "stats")) {
        printf("{"), report(&ab, stdout), printf(", "), report(&ba, stdout), printf("}");
    } else if (verb && !strcmp(verb, "reset")) {
        reset(&ab), reset(&ba), printf("{}");
    } else printf("{\"error\": \"no such command\"}");
    printf("\n");
    if (journal) fflush(journal);
    fflush(stdout);
}

static void enter(const char *path) {
    int namespace = open(path, O_RDONLY | O_CLOEXEC);
    if (namespace < 0 || setns(namespace, CLONE_NEWNET)) die("%s cannot be entered", path);
    close(namespace);
}

static void address(const char *device, int number) { /* gives 10.77.0.NUMBER and fd4d::NUMBER to it */
    struct ifreq request = {0};
    struct in6_ifreq six = {.ifr6_prefixlen = 64};
    char text[32];
    int control = socket(AF_INET, SOCK_DGRAM, 0), control6 = socket(AF_INET6, SOCK_DGRAM, 0);
    strcpy(request.ifr_name, device);
    struct sockaddr_in *four = (struct sockaddr_in *)&request.ifr_addr;
    *four = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x0a4d0000 + (uint32_t)number)};
    int failed = ioctl(control, SIOCSIFADDR, &request);
    four->sin_addr.s_addr = htonl(0xffffff00);
    failed |= ioctl(control, SIOCSIFNETMASK, &request);
    failed |= ioctl(control, SIOCGIFINDEX, &request);
    six.ifr6_ifindex = request.ifr_ifindex;
    snprintf(text, sizeof text, "fd4d::%d", number);
    inet_pton(AF_INET6, text, &six.ifr6_addr);
    failed |= ioctl(control6, SIOCSIFADDR, &six);
    if (failed) die("%s gets no address", device);
    struct sockaddr_in6 ours = {.sin6_family = AF_INET6, .sin6_addr = six.ifr6_addr};
    for (int i = 0; i < 1000 && bind(control6, (struct sockaddr *)&ours, sizeof ours); i++)
        usleep(1000); /* the kernel takes an IPv6 address into use when it comes to it */
    close(control), close(control6);
}

/* A TUN device in the namespace `where`, or with addresses in a new one if that is NULL; the namespace's descriptor. */
static int make_side(int number, int *device, const char *name, const char *where) {
    struct ifreq request = {.ifr_flags = IFF_TUN | IFF_NO_PI};
    if (where) enter(where);
    else if (unshare(CLONE_NEWNET)) die("a network namespace cannot be made");
    if ((*device = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC)) < 0) die("/dev/net/tun");
    int control = socket(AF_INET, SOCK_DGRAM, 0);
    strncpy(request.ifr_name, name, IFNAMSIZ - 1);
    int failed = ioctl(*device, TUNSETIFF, &request);
    request.ifr_qlen = DEVICE_QUEUE;
    failed |= ioctl(control, SIOCSIFTXQLEN, &request);
    request.ifr_flags = IFF_UP | IFF_RUNNING;
    failed |= ioctl(control, SIOCSIFFLAGS, &request);
    strcpy(request.ifr_name, "lo");
    failed |= ioctl(control, SIOCSIFFLAGS, &request);
    if (failed) die("the device of a namespace cannot be set up");
    close(control);
    if (!where) address(name, number);
    return open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
}

static int is_carried(const uint8_t *ip, ssize_t length) { /* unicast IP; what kernels tell each other unasked is not */
    if (length >= 20 && ip[0] >> 4 == 4) return (ip[16] & 0xf0) != 0xe0 && ip[16] != 255;
    return length >= 40 && ip[0] >> 4 == 6 && ip[24] != 0xff;
}

static int read_side(struct direction *d) { /* what has come, a batch at most; whether there may be more */
    static uint8_t buffer[65536];
    for (int i = 0; i < BATCH; i++) {
        ssize_t length = read(d->in, buffer, sizeof buffer);
        if (length <= 0) return 0;
        if (!is_carried(buffer, length)) continue;
        struct packet *p = grow(NULL, sizeof *p + (size_t)length);
        p->length = (uint32_t)length;
        memcpy(p->data, buffer, (size_t)length);
        arrive(d, p, clock_now());
    }
    return 1;
}

static void deliver(struct direction *d, int64_t now) {
    for (struct packet *p; (p = next_due(d, now)); free(p))
        /* EINVAL: a header that was made wrong, and so the packet; EIO: the device there is down. */
        if (write(d->out, p->data, p->length) < 0 && errno != EINVAL && errno != EIO) die("write");
}

static void run_link(const char *name, const char *const where[2]) {
    char line[4096];
    setvbuf(stdin, NULL, _IONBF, 0); /* or poll() would not tell of a second line */
    int more = 0, a = make_side(1, &ab.in, name, where[0]), b = make_side(2, &ba.in, name, where[1]);
    ab.out = ba.in, ba.out = ab.in;
    struct sched_param priority = {.sched_priority = PRIORITY};
    sched_setscheduler(0, SCHED_FIFO, &priority); /* where it may */
    prctl(PR_SET_TIMERSLACK, 1UL);
    printf("{\"a\": %d, \"b\": %d}\n", a, b);
    fflush(stdout);
    for (;;) {
        int64_t now = clock_now(), wake = NEVER;
        for (int i = 0; i < 2; i++) {
            deliver(BOTH[i], now);
            if (next_event(BOTH[i]) < wake) wake = next_event(BOTH[i]);
        }
        struct pollfd waiting[] = {{ab.in, POLLIN, 0}, {ba.in, POLLIN, 0}, {0, POLLIN, 0}};
        int64_t left = more || wake <= now ? 0 : wake - now;
        struct timespec timeout = {left / 1000000000, left % 1000000000};
        if (ppoll(waiting, 3, !more && wake == NEVER ? NULL : &timeout, NULL) < 0 && errno != EINTR) die("ppoll");
        if (waiting[2].revents) {
            if (!fgets(line, sizeof line, stdin)) return; /* whoever started us is gone, or done */
            obey(line, clock_now());
        }
        more = waiting[0].revents && read_side(&ab);
        more |= waiting[1].revents && read_side(&ba);
    }
}

static void show(int64_t now) { /* what is delivered by `now`: number and microseconds */
    for (struct packet *p; (p = next_due(&ab, now)); free(p))
        printf("%llu %lld\n", (unsigned long long)p->number, (long long)(p->due / 1000));
}

static void run_replay(void) {
    long long at;
    unsigned length;
    while (scanf("%lld %u", &at, &length) == 2) {
        struct packet *p = grow(NULL, sizeof *p + length);
        memset(p, 0, sizeof *p + length);
        p->length = length;
        show(at * 1000);
        arrive(&ab, p, at * 1000);
    }
    for (int64_t next; (next = next_event(&ab)) != NEVER;) show(next);
}

int main(int count, char **words) {
    const char *what = count > 1 ? words[1] : "", *name = "link", *where[2] = {NULL, NULL}, *wrong;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (!strcmp(what, "enter") && count > 3) {
        enter(words[2]);
        execvp(words[3], words + 3);
        die("%s", words[3]);
    }
    seed(1);
    for (int i = 2; i < count; i++) {
        if (!strncmp(words[i], "seed=", 5)) seed(strtoull(words[i] + 5, NULL, 10));
        else if (!strncmp(words[i], "log=", 4)) journal = fopen(words[i] + 4, "w");
        else if (!strncmp(words[i], "name=", 5)) name = words[i] + 5;
        else if (!strncmp(words[i], "a=", 2)) where[0] = words[i] + 2;
        else if (!strncmp(words[i], "b=", 2)) where[1] = words[i] + 2;
        else if ((wrong = set(&ab, words[i], 0))) errno = 0, die("%s: %s", words[i], wrong);
    }
    if (!strcmp(what, "link")) run_link(name, where);
    else if (!strcmp(what, "replay")) run_replay();
    else die("link, enter or replay is expected");
    return 0;
}
